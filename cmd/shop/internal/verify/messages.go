package verify

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"eventshop.example/pkg/events"
)

// published is I4: the set of event ids on the topics is the set in the outboxes. What
// the groups keep of failed records is no event, and I7's affair. Nor is what bears an
// envelope and can be no event of its key: I7 wants it to be a dead letter.
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
			// Compaction took it: a later snapshot of the order is there.
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

// effects is I5: one effect per (group, event id). An effect shows as an event
// caused by the event: a service must not have answered the same cause with the
// same kind of event for the same aggregate twice, at whatever attempt. And each receipt
// is one.
func effects(f Facts) Finding {
	r := Finding{Invariant: "I5", Title: "one effect per consumer group and event"}
	type effect struct{ service, topic, typ, aggregate, cause string }
	first := map[effect]uuid.UUID{}
	for _, row := range f.Outbox {
		if row.CausationID == "" {
			continue // raw rows have none
		}
		if row.Type == "PaymentRefundFailed" {
			continue // a person may have it tried again, and every round may end so
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
	r.Counted = fmt.Sprintf("%d receipts, %d caused events", len(f.Inbox), len(first))
	return r
}

// versions is I6: first occurrences of an aggregate's events arrive in version
// order on each topic. Of an event's copies the one on its key's partition came first.
// What can be no event has no version.
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
