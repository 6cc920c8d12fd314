package verify

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/event"
)

// settled is I7: for every event of the topics that it reads, every group has handled the event, is
// to retry it, has it as a dead letter, or ignores it for a reason (the group does not subscribe to
// its type, or not to sagas of its style, or an operator discarded it). An event without any of these
// is lost.
func settled(f Facts) Finding {
	r := Finding{Invariant: "I7", Title: "each event is done, retrying, dead or ignored in each group"}
	s := settlement{
		Facts: f, held: hold(f), inbox: received(f), forgotten: forgotten(f), reached: reached(f),
		given: map[placeOf]GivenUp{}, effects: map[cause]OutboxRow{}, first: map[partition]int64{}, sums: map[Place]Sum{}, finding: &r,
	}
	for _, g := range f.GivenUp {
		s.given[placeOf{g.Group, g.Place}] = g
	}
	for _, row := range f.Outbox {
		if row.CausationID != "" {
			s.effects[cause{row.Service, row.CausationID}] = row
		}
	}
	for _, rec := range f.Records {
		p, at := rec.Place(), partition{rec.Topic, rec.Partition}
		s.sums[p] = rec.Sum
		if first, ok := s.first[at]; !ok || p.Millis < first {
			s.first[at] = p.Millis
		}
	}
	var n tally
	for _, reader := range readers() {
		seen := map[uuid.UUID]bool{}
		for _, rec := range f.Records {
			if !reader.topics[rec.Topic] {
				continue
			}
			if seen[rec.ID] && sound(rec) && len(s.at[placeOf{reader.group, rec.Place()}]) == 0 {
				continue // a duplicate
			}
			if sound(rec) { // a record that only has the id of an event does not count for it
				seen[rec.ID] = true
			}
			n.count(s.state(reader, rec))
		}
	}
	s.holders()
	s.givenUp()
	s.checkParkedKeys()
	s.parkedRecords()
	s.deadLetters()
	r.Counted = n.String()
	return r
}

// settlement is what I7 works on.
type settlement struct {
	Facts
	held
	inbox     map[receipt]bool
	forgotten map[string]time.Time
	reached   map[partitionOf]int64
	given     map[placeOf]GivenUp
	effects   map[cause]OutboxRow
	first     map[partition]int64 // Unix ms of the oldest record that exists
	sums      map[Place]Sum
	finding   *Finding
}

type cause struct{ service, event string }

type partition struct {
	topic string
	n     int32
}

// tally counts (event, group) pairs by outcome.
type tally struct{ done, retrying, dead, ignored, styled, discarded int }

func (n *tally) count(state string) {
	switch state {
	case "done", "resolved":
		n.done++
	case "retrying":
		n.retrying++
	case "open":
		n.dead++
	case "ignored":
		n.ignored++
	case "other style":
		n.styled++
	case "discarded":
		n.discarded++
	}
}

func (n tally) String() string {
	return fmt.Sprintf("%d done, %d retrying, %d dead letters, %d of types not subscribed to, %d of the other style, %d discarded",
		n.done, n.retrying, n.dead, n.ignored, n.styled, n.discarded)
}

// sound reports whether a record is the event that it claims to be, for every group.
func sound(rec Record) bool {
	e, ok := rec.Event.(event.Event)
	return ok && e.AggregateKey() == rec.Key
}

// state returns the outcome of a record in a group, or "" if it is unknown.
func (s *settlement) state(r reader, rec Record) string {
	switch at := s.at[placeOf{r.group, rec.Place()}]; {
	case len(at) > 1:
		s.finding.breach("order %s: %s at %s is twice in group %s: %s and %s",
			shown(rec.Key), name(rec), rec.Place(), r.group, at[0].what, at[1].what)
		return ""
	case len(at) == 1:
		return at[0].state
	case s.given[placeOf{r.group, rec.Place()}].Decision == "discarded":
		return "discarded" // its dead letter was pruned
	case s.given[placeOf{r.group, rec.Place()}].Decision == "resolved":
		return "done" // likewise
	case rec.ID != uuid.Nil && !r.takes(rec.Type, rec.Style):
		if _, ok := r.types[rec.Type]; ok {
			return "other style"
		}
		return "ignored"
	case sound(rec) && s.inbox[receipt{r.group, rec.ID}]:
		if waiting := s.held.inbox[receipt{r.group, rec.ID}]; len(waiting) > 0 && !before(rec.Place(), waiting[0].place) {
			return waiting[0].state // by another copy
		}
		return "done"
	case sound(rec):
		// A group that stores positions has receipts of its partitions only from before it did.
		_, positioned := s.reached[partitionOf{r.group, partition{rec.Topic, rec.Partition}}]
		if first, ok := s.forgotten[r.group]; ok && !positioned && timeOf(rec.ID).Before(first) {
			return "done" // its receipt was pruned with the receipts of its day
		}
		s.finding.breach("order %s: %s %s is lost to group %s: not received, no retry, no dead letter",
			shown(rec.Key), rec.Type, rec.ID, r.group)
		return ""
	case s.old(rec.Time):
		return "done" // its dead letter, once closed, was pruned
	default:
		s.finding.breach("order %s: %s at %s can be no event to group %s, which has no dead letter for it",
			shown(rec.Key), name(rec), rec.Place(), r.group)
		return ""
	}
}

func name(rec Record) reported {
	if rec.ID == uuid.Nil {
		return "the record"
	}
	return tell("%s %s", rec.Type, rec.ID)
}

// forgotten returns the day since which each group's inbox has its receipts. Earlier receipts are
// dropped, a day at a time, by the time in their ids.
func forgotten(f Facts) map[string]time.Time {
	first := map[string]time.Time{}
	for _, row := range f.Inbox {
		day := timeOf(row.ID).Truncate(24 * time.Hour)
		if at, ok := first[row.Group]; !ok || day.Before(at) {
			first[row.Group] = day
		}
	}
	return first
}

// timeOf returns the time in a UUIDv7 (RFC 9562 section 5.7), to the millisecond.
func timeOf(id uuid.UUID) time.Time {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}

// holders checks that each record a group has parked or given up is there once, is on its topic,
// and has had no effect while it waits or after it was discarded.
func (s *settlement) holders() {
	for k, of := range s.held.inbox {
		if len(of) > 1 && of[0].place != of[1].place {
			s.finding.breach("order %s: event %s is twice in group %s: %s and %s", shown(of[0].key), k.id, k.group, of[0].what, of[1].what)
		}
	}
	for _, h := range s.all {
		if _, ok := s.sums[h.place]; !ok && !s.remade(h.place) {
			s.finding.breach("order %s: %s of group %s is of %s, where its record is not", shown(h.key), h.what, h.group, h.place)
		}
		// For a record that could not be read, the inbox has an id that belongs to no event.
		effect, ok := s.effects[cause{h.group, h.inboxID.String()}]
		if ok && h.state != "resolved" {
			s.finding.breach("order %s: event %s has had its effect in group %s (%s %s), which has it as %s",
				shown(h.key), h.inboxID, h.group, effect.Type, effect.ID, h.what)
		}
	}
}

// remade reports whether the broker has lost the record and everything else on the partition: all
// records there were written later.
func (s *settlement) remade(p Place) bool {
	first, any := s.first[partition{p.Topic, p.Partition}]
	return !any || p.Millis < first
}
