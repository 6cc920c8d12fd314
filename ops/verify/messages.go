package verify

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"eventshop.example/pkg/events"
)

// published is I4: the set of event ids on the topics is the set in the outboxes. Records of the
// groups' failures are not events and belong to I7. So does a record with an envelope that cannot
// be an event of its key: I7 requires a dead letter for it. A row that is older than its topic keeps
// records may be without one.
func published(f Facts) Finding {
	r := Finding{Invariant: "I4", Title: "event ids on topics = event ids in outboxes"}
	type place struct {
		id    uuid.UUID
		topic string
	}
	onTopic, distinct := map[place]bool{}, map[uuid.UUID]bool{}
	newest := map[string]uuid.UUID{} // order → its latest snapshot; UUIDv7 sort by time
	home := map[uuid.UUID]string{}
	for _, row := range f.Outbox {
		if !row.Raw {
			home[row.ID] = row.Topic
		}
	}
	strange := func(rec Record) bool { return rec.ID == uuid.Nil || home[rec.ID] == "" && !sound(rec) }
	strangers := 0
	for _, rec := range f.Records {
		if strange(rec) {
			strangers++ // not an event: no outbox can have it
			continue
		}
		onTopic[place{rec.ID, rec.Topic}], distinct[rec.ID] = true, true
		if last := newest[rec.Key]; rec.Topic == events.TopicOrderSnapshots && bytes.Compare(rec.ID[:], last[:]) > 0 {
			newest[rec.Key] = rec.ID
		}
	}
	for _, row := range f.Outbox {
		if row.Raw {
			continue
		}
		there := onTopic[place{row.ID, row.Topic}]
		last := newest[row.AggregateID]
		switch {
		case !there && row.Topic == events.TopicOrderSnapshots && bytes.Compare(row.ID[:], last[:]) < 0:
			// Compaction removed it: there is a later snapshot of the order.
		case !there && row.Published && f.expired(row.ID, row.Topic):
			// Its topic keeps records for a time only.
		case !there && row.Published:
			r.breach("order %s: %s %s is marked published and not on %s", row.AggregateID, row.Type, row.ID, row.Topic)
		case !there:
			r.breach("order %s: %s %s was never published", row.AggregateID, row.Type, row.ID)
		case !row.Published:
			r.breach("order %s: %s %s is on %s and not marked published", row.AggregateID, row.Type, row.ID, row.Topic)
		}
	}
	for _, rec := range f.Records {
		topic, ours := home[rec.ID]
		switch {
		case strange(rec):
		case !ours:
			r.breach("order %s: %s %s on %s is in no outbox", rec.Key, rec.Type, rec.ID, rec.Topic)
		case rec.Topic != topic:
			r.breach("order %s: %s %s is on %s, and belongs on %s", rec.Key, rec.Type, rec.ID, rec.Topic, topic)
		}
	}
	r.Counted = fmt.Sprintf("%d outbox rows, %d records, %d of them duplicates, %d no events",
		len(home), len(f.Records), len(f.Records)-strangers-len(distinct), strangers)
	return r
}

// effects is I5: one effect per (group, event id). An effect is an event caused by the event: a
// service must not answer the same cause twice with the same kind of event for the same aggregate,
// in any attempt. The answer that a command changed nothing is no effect: a command that is read again,
// after the inbox has forgotten it, is answered again. A receipt, and a position on a partition, must be
// unique too. The effect of the notification service is a mail: see mails.
func effects(f Facts) Finding {
	r := Finding{Invariant: "I5", Title: "one effect per consumer group and event, one mail per order"}
	type effect struct{ service, topic, typ, aggregate, cause string }
	first, again := map[effect]uuid.UUID{}, sentAgain(f)
	for _, row := range f.Outbox {
		if row.CausationID == "" {
			continue // raw rows have none
		}
		if row.Type == "PaymentRefundFailed" || again[row.ID.String()] {
			continue // operators may have it retried, and every round may end like this
		}
		if answersCommand(row.Type) {
			continue
		}
		e := effect{row.Service, row.Topic, row.Type, row.AggregateID, row.CausationID}
		if other, ok := first[e]; ok && other != row.ID {
			r.breach("order %s: %s answered event %s twice with %s: %s and %s",
				e.aggregate, e.service, e.cause, e.typ, other, row.ID)
			continue
		}
		first[e] = row.ID
	}
	seen := map[InboxRow]bool{}
	for _, row := range f.Inbox {
		k := row
		if seen[k] {
			r.breach("event %s was received twice by group %s", row.ID, row.Group)
		}
		seen[k] = true
	}
	at := map[partitionOf]bool{}
	for _, p := range f.Positions {
		k := partitionOf{p.Group, partition{p.Topic, p.Partition}}
		if at[k] {
			r.breach("group %s has two positions on %s/%d", p.Group, p.Topic, p.Partition)
		}
		at[k] = true
	}
	mails(f, &r)
	r.Counted = fmt.Sprintf("%d receipts, %d positions, %d caused events, %d mails", len(f.Inbox), len(f.Positions), len(first), len(f.Mailbox))
	return r
}

// versions is I6: first occurrences of an aggregate's events are in version order on each topic. Of
// an event's copies, the one on its key's partition came first. A record that cannot be an event
// has no version.
func versions(f Facts) Finding {
	r := Finding{Invariant: "I6", Title: "first occurrences arrive in version order"}
	type stream struct{ topic, key string }
	latest := map[stream]Record{}
	seen := map[uuid.UUID]bool{}
	for _, rec := range slices.SortedStableFunc(slices.Values(f.Records), strayedLast) {
		if !sound(rec) || rec.Version == 0 || seen[rec.ID] {
			continue
		}
		seen[rec.ID] = true
		s := stream{rec.Topic, rec.Key}
		if last, ok := latest[s]; ok {
			if last.Partition != rec.Partition {
				r.breach("order %s is on partitions %d and %d of %s", rec.Key, last.Partition, rec.Partition, rec.Topic)
			}
			switch {
			case rec.Version == last.Version:
				r.breach("order %s: %s and %s on %s are both version %d (offset %d)",
					rec.Key, last.Type, rec.Type, rec.Topic, rec.Version, rec.Offset)
			case rec.Version < last.Version:
				r.breach("order %s: %s version %d came after %s version %d on %s (offset %d)",
					rec.Key, rec.Type, rec.Version, last.Type, last.Version, rec.Topic, rec.Offset)
			}
		}
		latest[s] = rec
	}
	r.Counted = fmt.Sprintf("%d events of %d streams", len(seen), len(latest))
	return r
}
