package consumer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/telemetry"
)

// kind is what decode found a record to be.
type kind int

const (
	undecoded  kind = iota // not decoded yet, or waiting for the registry
	subscribed             // an event with a line in the subscription table
	foreign                // an event without one, one of the other style, or the end of a Kafka transaction
	poison                 // a record that is no event of this group and can never be handled
)

// outcome is what the committed transaction did with one record.
type outcome string

const (
	handled    outcome = "handled"     // its handler's effect is in the database
	duplicate  outcome = "duplicate"   // the inbox had its id: no effect this time
	ignored    outcome = "ignored"     // not in the subscription table
	otherStyle outcome = "other_style" // ignored, because its saga has the other style: see Subscription.Of
	retrying   outcome = "retrying"    // failed: its retry record is written and its key is parked
	parked     outcome = "parked"      // waits behind a record of its key that failed
	deadLetter outcome = "dead_letter" // given up
	skipped    outcome = "skipped"     // given up before, or an operator asked to skip it; of a retry record: an operator discarded it
	stale      outcome = "stale"       // of a retry record: not its key's head, or no longer
)

// item is one record on its way through the loop.
type item struct {
	record *kgo.Record
	kind
	id    uuid.UUID    // the id of its inbox row
	sub   Subscription // of a record that claims to be a subscribed event
	event received     // only its envelope when the rest could not be read
	cause error        // known before its transaction: why it can never be handled, or its call's failure
	parks bool         // it has a place in its key's order, so its key waits when it is given up
	bare  error        // why its failure could not be stored with its bytes; its dead letter then has none

	skip bool // an operator asked to skip it

	replaced []string // headers whose advisory value was wrong

	attempts int       // failed attempts before this one, when it is a retry
	call     callState // of a subscription that may need one
	result   any       // the call's answer, when it is answered
	surprise bool      // a transaction found that a call is due, and the loop had found that none was
	refused  error     // why its call has to wait, when it was made before the record was its queue's head
	due      time.Time // when it may be made again
	failure  error     // of the latest try, where its outcome is a failure

	fresh   bool    // in the latest try: not received before, and not by an earlier record of the batch
	outcome outcome // of the latest try; final once that try committed

	step      step                  // of the present transaction
	committed func(context.Context) // what its latest try left to do after the commit; nil: nothing
}

// ignored returns how a foreign record is counted.
func (it *item) ignored() outcome {
	if it.sub.style != "" {
		return otherStyle
	}
	return ignored
}

// awaits reports whether the record cannot be handled yet: it is not known whether a call is due for it, or
// the call has no answer.
func (it *item) awaits() bool {
	return it.kind == subscribed && it.sub.call != nil && it.cause == nil && (it.call == unseen || it.call == calling)
}

// decode finds out what a record is. It returns an error only when that cannot be known now, or
// when the events that follow from the record could not be published (the registry is needed and
// down). Advisory metadata, such as tracing and correlation, never makes a record a dead letter:
// see [event.ReadEnvelope].
func (c *Consumer) decode(ctx context.Context, it *item) error {
	r := it.record
	if r.Attrs.IsControl() {
		it.kind = foreign
		return nil
	}
	env, replaced, err := event.ReadEnvelope(headers(r), r.Timestamp)
	if err != nil {
		parks, undecided := c.ofItsKey(ctx, r)
		if undecided != nil {
			return undecided
		}
		it.condemn(poisonID(r), err)
		it.parks = parks
		return nil
	}
	if env.TraceParent != "" && !telemetry.ValidTraceParent(env.TraceParent) {
		env.TraceParent, env.TraceState = "", ""
		replaced = append(replaced, event.HeaderTraceParent)
	}
	it.id, it.event.envelope, it.replaced = env.ID, env, replaced
	// One span per attempt: its call, its handler and the repetitions of its transaction share it.
	it.event.span = telemetry.ChildTraceParent(env.TraceParent)
	sub, ok := c.subscriptions[env.Type]
	if !ok {
		it.kind = foreign
		return nil
	}
	it.sub = sub
	if sub.Type.Topic != r.Topic {
		it.condemn(poisonID(r), errs.New(errs.Hopeless, "a %s belongs on topic %s", env.Type, sub.Type.Topic))
		return nil
	}
	if sub.style != "" && sub.style != env.Style {
		it.kind = foreign
		return nil
	}
	data, err := c.cfg.Decode(ctx, sub.Type, r.Value)
	switch {
	case err == nil:
	case errs.KindOf(err) == errs.Hopeless:
		// Its envelope is that of an event this group waits for. Later records of the key must not
		// be handled as if it had never existed.
		it.condemn(poisonID(r), err)
		it.parks = len(r.Key) > 0
		return nil
	default:
		return fmt.Errorf("decode %s: %w", env.Type, err)
	}
	switch key := data.AggregateKey(); {
	case key == "":
		// Its order would be that of all records without a key.
		it.condemn(poisonID(r), errs.New(errs.Hopeless, "a %s without a key is of no aggregate", env.Type))
		return nil
	case key != string(r.Key):
		// A wrong key would break the order per aggregate for all later records.
		it.condemn(poisonID(r), errs.New(errs.Hopeless, "record key %q is not the event's key %q", r.Key, key))
		return nil
	}
	if err := c.cfg.Encodable(sub.emits...); err != nil {
		return fmt.Errorf("what follows from a %s cannot be published: %w", env.Type, err)
	}
	it.event.data, it.event.attempt = data, it.attempts+1
	it.event.topic, it.event.partition, it.event.offset = r.Topic, r.Partition, r.Offset
	it.kind, it.parks = subscribed, true
	return nil
}

// ofItsKey reports whether a record without a usable identity is nevertheless an event of its key:
// it has an envelope, and its bytes are an event that this group waits for, with the record's key.
// Later records of the key must not be handled as if it had never existed. Bytes without any
// envelope, or of another key, have no place in the key's order.
func (c *Consumer) ofItsKey(ctx context.Context, r *kgo.Record) (bool, error) {
	enveloped := slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return strings.HasPrefix(h.Key, "ce_") })
	if len(r.Key) == 0 || !enveloped {
		return false, nil
	}
	for _, sub := range c.subscriptions {
		if sub.Type.Topic != r.Topic {
			continue
		}
		data, err := c.cfg.Decode(ctx, sub.Type, r.Value)
		switch {
		case err == nil:
			return data.AggregateKey() == string(r.Key), nil
		case errs.KindOf(err) != errs.Hopeless:
			return false, fmt.Errorf("decode %s: %w", sub.Type.Name, err)
		}
	}
	return false, nil
}

// condemn makes a record a dead letter. Its inbox id is derived from its place (see poisonID), not
// the event id it claims. A record that is no event but carries a real event's id must not make
// that event look handled.
func (it *item) condemn(id uuid.UUID, cause error) {
	it.kind, it.id, it.cause = poison, id, cause
}

// parkedKey returns the key by which the record is ordered.
func (it *item) parkedKey() retry.Key {
	return retry.KeyOf(it.record.Topic, it.record.Key)
}

// place returns where the record lies, and its time. They identify the record when it was given up.
func (it *item) place() retry.Record {
	r := it.record
	return retry.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: event.StorableTime(r.Timestamp)}
}

// original returns the record in the form in which package retry stores it.
func (it *item) original() retry.Record {
	r := it.record
	return retry.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: event.StorableTime(r.Timestamp),
		Key: r.Key, Value: r.Value, Headers: headers(r),
	}
}

// itemOf is the inverse of item.original.
func itemOf(r retry.Record) *item {
	kafka := &kgo.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Time,
		Key: r.Key, Value: r.Value,
	}
	for _, h := range r.Headers {
		kafka.Headers = append(kafka.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return &item{record: kafka}
}

func headers(r *kgo.Record) []event.Header {
	hs := make([]event.Header, len(r.Headers))
	for i, h := range r.Headers {
		hs[i] = event.Header{Key: h.Key, Value: h.Value}
	}
	return hs
}

// poisonID returns an id for a record without a usable event id. The id depends on nothing but
// where the record lies and the record's time. The same record delivered twice therefore has one
// inbox row and one dead letter. The id has the form of a UUIDv7 of the record's time, so that the
// inbox files it under that day and prunes it with the rest.
func poisonID(r *kgo.Record) uuid.UUID {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", r.Topic, r.Partition, r.Offset))
	id := uuid.UUID(sum[:16])
	ms := max(event.StorableTime(r.Timestamp).UnixMilli(), 0) // 48 bits reach the year 10889
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], uint64(ms))
	copy(id[:6], be[2:]) // RFC 9562 section 5.7: 48 bits of Unix time in ms
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}
