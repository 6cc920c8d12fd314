package consumer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/telemetry"
)

// kind is what a record turned out to be.
type kind int

const (
	undecoded  kind = iota // not looked at yet, or waiting for the registry
	subscribed             // an event with a line in the subscription table
	foreign                // an event without one, or the end of a transaction of Kafka
	rubbish                // can never be handled
)

// outcome is what became of one record in the transaction that was committed.
type outcome string

const (
	handled    outcome = "handled"     // its handler's effect is in the database
	duplicate  outcome = "duplicate"   // the inbox had it: no effect this time
	ignored    outcome = "ignored"     // not in the subscription table
	retrying   outcome = "retrying"    // failed: its retry record is written and its key parked
	parked     outcome = "parked"      // waits behind a record of its key that failed
	deadLetter outcome = "dead_letter" // given up
	skipped    outcome = "skipped"     // given up before: its dead letter decides, or an operator's wish; of a retry record: a person discarded it
	stale      outcome = "stale"       // of a retry record: not, or no more, its key's head
)

// item is one record on its way through the loop.
type item struct {
	record *kgo.Record
	kind
	id    uuid.UUID    // what the inbox knows it by
	sub   Subscription // of what claims to be a subscribed event
	event received     // its envelope alone when the rest could not be read
	cause error        // known before its transaction: why it is rubbish, or its call's failure
	parks bool         // it has a place in its key's order, so that its key waits when it is given up
	bare  error        // why its failure could not be stored with its bytes: a dead letter without them

	skip bool // an operator asked for it to be passed over

	replaced []string // headers whose advice was wrong

	attempts int   // failed before, when it is a retry
	result   any   // of sub.call
	called   bool  // result is valid for the try under way
	skipCall bool  // it is a duplicate, or its key is parked
	failure  error // of the latest try, where the outcome is one of failure

	outcome outcome // of the latest try; final once that committed
}

// decode finds out what a record is. It returns an error only when that cannot be known
// now, or what follows from it could not be published (the registry is needed and down).
// What only advises, tracing and correlation among it, never condemns a record: see
// [events.ReadEnvelope].
func (c *Consumer) decode(ctx context.Context, it *item) error {
	r := it.record
	if r.Attrs.IsControl() {
		it.kind = foreign
		return nil
	}
	env, replaced, err := events.ReadEnvelope(headers(r), r.Timestamp)
	if err != nil {
		parks, undecided := c.ofItsKey(ctx, r)
		if undecided != nil {
			return undecided
		}
		it.condemn(rubbishID(r), err)
		it.parks = parks
		return nil
	}
	if env.TraceParent != "" && !telemetry.ValidTraceParent(env.TraceParent) {
		env.TraceParent, env.TraceState = "", ""
		replaced = append(replaced, events.HeaderTraceParent)
	}
	it.id, it.event.envelope, it.replaced = env.ID, env, replaced
	sub, ok := c.subscriptions[env.Type]
	if !ok {
		it.kind = foreign
		return nil
	}
	it.sub = sub
	if sub.Type.Topic != r.Topic {
		it.condemn(rubbishID(r), errs.New(errs.Hopeless, "a %s belongs on topic %s", env.Type, sub.Type.Topic))
		return nil
	}
	data, err := c.cfg.Codec.Decode(ctx, sub.Type, r.Value)
	switch {
	case err == nil:
	case errs.KindOf(err) == errs.Hopeless:
		// An event by its envelope, and one this group waits for: what comes after it
		// must not be handled as if it had never been.
		it.condemn(rubbishID(r), err)
		it.parks = len(r.Key) > 0
		return nil
	default:
		return fmt.Errorf("decode %s: %w", env.Type, err)
	}
	switch key := data.AggregateKey(); {
	case key == "":
		// Its order would be that of all records without a key.
		it.condemn(rubbishID(r), errs.New(errs.Hopeless, "a %s without a key is of no aggregate", env.Type))
		return nil
	case key != string(r.Key):
		// A wrong key would break the order per aggregate for everybody after.
		it.condemn(rubbishID(r), errs.New(errs.Hopeless, "record key %q is not the event's key %q", r.Key, key))
		return nil
	}
	if err := c.cfg.Codec.Encodable(sub.emits...); err != nil {
		return fmt.Errorf("what follows from a %s cannot be published: %w", env.Type, err)
	}
	it.event = received{envelope: env, data: data, topic: r.Topic, partition: r.Partition, offset: r.Offset, attempt: it.attempts + 1}
	it.kind, it.parks = subscribed, true
	return nil
}

// ofItsKey reports whether a record without a usable identity is an event of its key all
// the same: it bears an envelope, and its bytes are an event this group waits for, with the
// record's key. What comes after it must not be handled as if it had never been. Bytes
// without any envelope, or of another key, have no place in the key's order.
func (c *Consumer) ofItsKey(ctx context.Context, r *kgo.Record) (bool, error) {
	enveloped := slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return strings.HasPrefix(h.Key, "ce_") })
	if len(r.Key) == 0 || !enveloped {
		return false, nil
	}
	for _, sub := range c.subscriptions {
		if sub.Type.Topic != r.Topic {
			continue
		}
		data, err := c.cfg.Codec.Decode(ctx, sub.Type, r.Value)
		switch {
		case err == nil:
			return data.AggregateKey() == string(r.Key), nil
		case errs.KindOf(err) != errs.Hopeless:
			return false, fmt.Errorf("decode %s: %w", sub.Type.Name, err)
		}
	}
	return false, nil
}

// condemn makes a record a dead letter. Its inbox id is that of its place (see
// rubbishID), not the event id it claims: rubbish that bears a real event's id
// must not make that event look handled.
func (it *item) condemn(id uuid.UUID, cause error) {
	it.kind, it.id, it.cause = rubbish, id, cause
}

// lane is what the record's order is kept by.
func (it *item) lane() retry.Key {
	return retry.KeyOf(it.record.Topic, it.record.Key)
}

// place is where the record lies, and its time: what it is known by when it was given up.
func (it *item) place() retry.Record {
	r := it.record
	return retry.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: events.StorableTime(r.Timestamp)}
}

// original is the record as the store of failed ones keeps it.
func (it *item) original() retry.Record {
	r := it.record
	return retry.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: events.StorableTime(r.Timestamp),
		Key: r.Key, Value: r.Value, Headers: headers(r),
	}
}

// itemOf is the way back.
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

func headers(r *kgo.Record) []events.Header {
	hs := make([]events.Header, len(r.Headers))
	for i, h := range r.Headers {
		hs[i] = events.Header{Key: h.Key, Value: h.Value}
	}
	return hs
}

// rubbishID gives a record without a usable event id one of its own. It depends
// on nothing but where the record lies, so the same rubbish delivered twice has
// one inbox row and one dead letter. It has the form of a UUIDv7 of the record's
// time, so that the inbox files it under that day and prunes it with the rest.
func rubbishID(r *kgo.Record) uuid.UUID {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", r.Topic, r.Partition, r.Offset))
	id := uuid.UUID(sum[:16])
	ms := max(events.StorableTime(r.Timestamp).UnixMilli(), 0) // 48 bits reach the year 10889
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], uint64(ms))
	copy(id[:6], be[2:]) // RFC 9562 section 5.7: 48 bits of Unix time in ms
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}
