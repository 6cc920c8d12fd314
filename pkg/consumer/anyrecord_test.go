package consumer_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/schema"
)

// Tests with whole records of any kind (key, headers, value and timestamp) over a real database:
// the consumer decides about each, and handles the next record of another key.

// anyRecord is a consumer that reads arbitrary records.
type anyRecord struct {
	*fixture
	cons     *consumer.Consumer
	registry *prometheus.Registry
	canaries atomic.Int64
	valid    []*kgo.Record
	client   *kgo.Client
	placed   int
	longest  time.Duration
}

func newAnyRecord(t testing.TB) *anyRecord {
	a := &anyRecord{fixture: newFixture(t), registry: prometheus.NewRegistry()}
	a.codec = schema.New(schema.Config{Types: sample.Catalogue(), Client: schema.NewClient(a.fixture.registry.URL), Grace: 100 * time.Millisecond})
	if err := a.codec.Register(t.Context(), sample.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	// An index takes a text from the record, as in a service's own tables.
	a.exec(`CREATE INDEX ON effects (parcel_id)`)
	a.cons = a.start(consumer.Config{
		Registerer: a.registry,
		Retry:      quickly(2),
		Subscriptions: []consumer.Subscription{
			on(simply),
			on(func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.DoorJammed]) error {
				return effect(ctx, tx, e.Data.ParcelID, e.Data.Reason)
			}),
			onCall(func(_ context.Context, e consumer.Event[sample.ParcelAccepted]) (int, error) {
				return int(1000 / e.Data.TotalAmount), nil // a bug that one value triggers
			}, func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelAccepted], _ int) error {
				return effect(ctx, tx, e.Data.Sender.ID, e.CorrelationID+e.Time.String())
			}),
		},
	})
	a.valid = []*kgo.Record{
		a.record(collected("a"), 1),
		a.record(sample.DoorJammed{ParcelID: "b", OccurredAt: time.Now().UTC()}, 1),
		a.record(sample.ParcelAccepted{ParcelID: "c", TotalAmount: 999, Currency: "EUR", CollectBy: time.Now(), OccurredAt: time.Now(),
			Items: []sample.Item{{Size: "W", Quantity: 1, Price: 999}}}, 1),
		a.record(confirmed("d"), 1), // not subscribed to
	}
	a.client = kafkatest.NewClient(t, a.brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	return a
}

// try puts records on one partition of their topics and waits until records of other keys behind
// them are handled.
func (a *anyRecord) try(partition int32, records ...*kgo.Record) {
	a.t.Helper()
	canary := fmt.Sprintf("canary-%d", a.canaries.Add(1))
	records = append(records, a.record(collected(canary), 1), a.record(sample.DoorJammed{ParcelID: canary, OccurredAt: time.Now().UTC()}, 1))
	for _, r := range records {
		r.Partition = partition
	}
	if err := a.client.ProduceSync(a.t.Context(), records...).FirstErr(); err != nil {
		a.t.Fatalf("produce: %v", err)
	}
	a.placed += len(records)
	began := time.Now()
	kafkatest.Eventually(a.t, "the records behind", func() bool {
		return len(a.rows(`SELECT what FROM effects WHERE parcel_id = $1`, canary)) == 2
	})
	a.longest = max(a.longest, time.Since(began))
}

// settled waits until every record's offset has moved on, and checks that no record is left
// undecided.
func (a *anyRecord) settled() {
	a.t.Helper()
	kafkatest.Eventually(a.t, "every record decided about", func() bool {
		first := 0.0
		for _, outcome := range []string{"handled", "duplicate", "ignored", "retrying", "parked", "dead_letter"} {
			for _, topic := range []string{sample.TopicParcelEvents, sample.TopicDoorEvents} {
				first += counter(a.t, a.registry, "consumer_records_total", "outcome", outcome, "topic", topic)
			}
		}
		return int(first) >= a.placed
	})
	if err := a.cons.Ready(a.t.Context()); err != nil {
		a.t.Errorf("not ready: %v", err)
	}
}

// TestAnyRecordIsDecidedAbout spoils valid records in every way. EVENTSHOP_RECORDS sets their
// number, EVENTSHOP_SEED the seed of the random choices.
func TestAnyRecordIsDecidedAbout(t *testing.T) {
	t.Parallel()
	total, seed := 600, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("EVENTSHOP_RECORDS")); err == nil {
		total = n
	}
	if n, err := strconv.ParseUint(os.Getenv("EVENTSHOP_SEED"), 10, 64); err == nil {
		seed = n
	}
	a := newAnyRecord(t)
	s := spoiler{rand.New(rand.NewPCG(seed, 0))}
	const batch = 30
	for range total / batch {
		var records []*kgo.Record
		for range batch {
			records = append(records, s.spoil(a.valid[s.IntN(len(a.valid))]))
		}
		a.try(int32(s.IntN(int(event.Partitions))), records...)
	}
	a.settled()
	t.Logf("%d records, seed %d, the longest wait of a record behind %d of them: %s", a.placed, seed, batch, a.longest.Round(time.Millisecond))
}

// spoiler makes valid records wrong.
type spoiler struct{ *rand.Rand }

func (s spoiler) spoil(valid *kgo.Record) *kgo.Record {
	r := &kgo.Record{Topic: valid.Topic, Key: slices.Clone(valid.Key), Value: slices.Clone(valid.Value), Headers: slices.Clone(valid.Headers)}
	s.header(r, event.HeaderID, uuid.Must(uuid.NewV7()).String())
	for range 1 + s.IntN(3) {
		switch s.IntN(8) {
		case 0:
			r.Key = s.bytes()
		case 1:
			r.Value = s.bytes()
		case 2:
			r.Value = append([]byte{0, 0, 0, 0, byte(s.IntN(24))}, s.bytes()...)
		case 3:
			if len(r.Value) > 0 {
				r.Value[s.IntN(len(r.Value))] ^= 1 << s.IntN(8)
			}
		case 4:
			r.Timestamp = time.UnixMilli(int64(s.Uint64()) >> s.IntN(64))
		case 5:
			if len(r.Headers) > 0 {
				h := r.Headers[s.IntN(len(r.Headers))]
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: [][]byte{h.Value, s.bytes()}[s.IntN(2)]})
			}
		case 6:
			if len(r.Headers) > 0 {
				s.header(r, r.Headers[s.IntN(len(r.Headers))].Key, string(s.bytes()))
			}
		case 7:
			for range s.IntN(40) {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(s.bytes()), Value: s.bytes()})
			}
		}
	}
	return r
}

func (s spoiler) header(r *kgo.Record, name, value string) {
	for i := range r.Headers {
		if r.Headers[i].Key == name {
			r.Headers[i].Value = []byte(value)
		}
	}
}

// bytes returns none, few or many bytes, text or not.
func (s spoiler) bytes() []byte {
	switch s.IntN(7) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return []byte(strings.Repeat("long ", s.IntN(2000)))
	case 3:
		return []byte([]string{"a", "b", "c", "ParcelCollected", "ParcelAccepted", "1", "0", "-1", "\x00", "\xff", "9223372036854775807", "2025-13-01T00:00:00Z"}[s.IntN(12)])
	}
	b := make([]byte, s.IntN(1+s.IntN(4000)))
	for i := range b {
		b[i] = byte(s.Uint32())
	}
	return b
}

// FuzzRecord lets the fuzzer choose every part of a record. headers contains names and values in
// turn, each after its length in one byte.
func FuzzRecord(f *testing.F) {
	a := newAnyRecord(f)
	for _, r := range a.valid {
		var headers []byte
		for _, h := range r.Headers {
			headers = append(append(headers, byte(len(h.Key))), h.Key...)
			headers = append(append(headers, byte(len(h.Value))), h.Value...)
		}
		f.Add(r.Topic == sample.TopicDoorEvents, true, r.Key, headers, r.Value, int64(1735787045000))
	}
	long := make([]byte, 3000)
	binary.BigEndian.PutUint64(long[1000:], 1)
	f.Add(false, true, long, []byte("\x07ce_type\x0eParcelAccepted"), []byte{0, 0, 0, 0, 1, 0xff}, int64(-1))
	f.Fuzz(func(t *testing.T, doors, keyed bool, key, headers, value []byte, ms int64) {
		a.t = t // f must not be used inside the target
		defer func() { a.t = f }()
		r := &kgo.Record{Topic: sample.TopicParcelEvents, Value: value, Timestamp: time.UnixMilli(ms)}
		if doors {
			r.Topic = sample.TopicDoorEvents
		}
		if keyed {
			r.Key = key
		}
		for len(headers) > 0 {
			var name, value []byte
			name, headers = field(headers)
			value, headers = field(headers)
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(name), Value: value})
		}
		if len(key)+len(value) > 900_000 {
			t.Skip("the broker takes no such record")
		}
		a.try(0, r)
	})
}

// field splits off one length and that many bytes.
func field(b []byte) (value, rest []byte) {
	if len(b) == 0 {
		return nil, nil
	}
	n := min(int(b[0]), len(b)-1)
	return b[1 : 1+n], b[1+n:]
}
