package verify

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/events"
)

// settled is I7: every group is done with every event of the topics it reads, or is to
// try it again, or has it as a dead letter, or ignores it for a reason (its type is not
// subscribed to, or a person discarded it). An event of which nothing is known is lost.
func settled(f Facts) Finding {
	r := Finding{Invariant: "I7", Title: "each event is done, retrying, dead or ignored in each group"}
	s := settlement{
		Facts: f, held: hold(f), inbox: received(f), forgotten: forgotten(f),
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
			if sound(rec) { // what only bears the id of an event does not stand for it
				seen[rec.ID] = true
			}
			n.count(s.state(reader, rec))
		}
	}
	s.holders()
	s.givenUp()
	s.parkedKeys()
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
	given     map[placeOf]GivenUp
	effects   map[cause]OutboxRow
	first     map[partition]int64 // Unix ms of the oldest record that is there
	sums      map[Place]Sum
	finding   *Finding
}

type cause struct{ service, event string }

type partition struct {
	topic string
	n     int32
}

// tally counts (event, group) pairs by what became of them.
type tally struct{ done, retrying, dead, ignored, discarded int }

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
	case "discarded":
		n.discarded++
	}
}

func (n tally) String() string {
	return fmt.Sprintf("%d done, %d retrying, %d dead letters, %d of types not subscribed to, %d discarded",
		n.done, n.retrying, n.dead, n.ignored, n.discarded)
}

// sound tells a record that is the event it claims to be, from any group's view.
func sound(rec Record) bool {
	e, ok := rec.Event.(events.Event)
	return ok && e.AggregateKey() == rec.Key
}

// state says what became of a record in a group: "" where that is not known.
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
	case rec.ID != uuid.Nil && !r.types[rec.Type]:
		return "ignored"
	case sound(rec) && s.inbox[receipt{r.group, rec.ID}]:
		if waiting := s.held.inbox[receipt{r.group, rec.ID}]; len(waiting) > 0 {
			return waiting[0].state // by another copy
		}
		return "done"
	case sound(rec):
		if first, ok := s.forgotten[r.group]; ok && timeOf(rec.ID).Before(first) {
			return "done" // its receipt was pruned with its day's
		}
		s.finding.breach("order %s: %s %s is lost to group %s: no receipt, no retry, no dead letter",
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

func name(rec Record) string {
	if rec.ID == uuid.Nil {
		return "the record"
	}
	return fmt.Sprintf("%s %s", rec.Type, rec.ID)
}

// forgotten tells since which day each group's inbox has its receipts: those before are
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

// timeOf is the time in a UUIDv7 (RFC 9562 section 5.7), to the millisecond.
func timeOf(id uuid.UUID) time.Time {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}

// holders checks that what a group holds is there once, is on its topic, and has had no
// effect while it waits or was discarded.
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
		// Of a record that could not be read the inbox has an id that no event bears.
		effect, ok := s.effects[cause{h.group, h.inboxID.String()}]
		if ok && h.state != "resolved" {
			s.finding.breach("order %s: event %s has had its effect in group %s (%s %s), which has it as %s",
				shown(h.key), h.inboxID, h.group, effect.Type, effect.ID, h.what)
		}
	}
}

// remade tells that the broker has lost the record and whatever else was there: all that
// is on the partition now was written later.
func (s *settlement) remade(p Place) bool {
	first, any := s.first[partition{p.Topic, p.Partition}]
	return !any || p.Millis < first
}
