package outbox

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
)

func TestRelaySendsTheEnvelopeAndTheBytes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	e := events.Envelope{
		ID: uuid.Must(uuid.NewV7()), Source: "/eventshop/order", Type: "OrderCreated", Subject: "order-1",
		AggregateVersion: 7, Time: time.Date(2026, 3, 1, 12, 0, 0, 120_000, time.UTC),
		CorrelationID: "corr", CausationID: "cause", ContentType: events.ContentTypeAvro,
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState: "a=b",
	}
	bare := e
	bare.ID, bare.CausationID, bare.TraceParent, bare.TraceState = uuid.Must(uuid.NewV7()), "", "", ""
	tx := f.begin(t)
	err := insert(t.Context(), tx, []row{
		{id: e.ID, topic: testTopic.Name, key: []byte("order-1"), payload: []byte{0, 0, 0, 0, 1, 0xff}, envelope: &e},
		{id: bare.ID, topic: testTopic.Name, key: []byte("order-1"), payload: []byte{}, envelope: &bare},
	})
	if err != nil {
		t.Fatal(err)
	}
	commit(t, tx)
	f.start(t, RelayConfig{Registerer: prometheus.NewRegistry()})
	f.awaitPublished(t)

	records := kafkatest.ReadAll(t, f.brokers, testTopic.Name)
	if len(records) != 2 {
		t.Fatalf("got %d records, want 2", len(records))
	}
	for i, want := range []events.Envelope{e, bare} {
		if diff := cmp.Diff(want.Headers(), kafkatest.Headers(records[i])); diff != "" {
			t.Errorf("headers of record %d (-want +got):\n%s", i, diff)
		}
	}
	if diff := cmp.Diff([]byte{0, 0, 0, 0, 1, 0xff}, records[0].Value); diff != "" {
		t.Errorf("value (-want +got):\n%s", diff)
	}
	// Murmur2 over the key, as the Java client does it.
	want := kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte("order-1")}, int(testTopic.Partitions))
	if int(records[0].Partition) != want {
		t.Errorf("partition %d, want %d", records[0].Partition, want)
	}
}

func TestRawRecordsKeepTheirBytes(t *testing.T) {
	t.Parallel()
	dlq := events.Topic{Name: "order.events.payment.dlq", Partitions: 1}
	f := newFixture(t, kafkatest.Start(t, dlq))
	headers := []events.Header{
		{Key: "b", Value: []byte{0, 1, 0xff}}, {Key: "a", Value: nil}, {Key: "b", Value: []byte("again")},
		{Key: "nul\x00", Value: []byte("x")}, {Key: "bad\xff", Value: []byte("y")}, {Key: "", Value: []byte("z")},
	}
	raws := []Raw{
		{ID: uuid.Must(uuid.NewV7()), Topic: dlq.Name, Key: nil, Payload: []byte("no key"), Headers: headers},
		{ID: uuid.Must(uuid.NewV7()), Topic: dlq.Name, Key: []byte{0xff, 0}, Payload: nil},
		{ID: uuid.Must(uuid.NewV7()), Topic: dlq.Name, Key: []byte{}, Payload: []byte{}},
	}
	tx := f.begin(t)
	if err := f.out.AppendRaw(t.Context(), tx, raws...); err != nil {
		t.Fatal(err)
	}
	commit(t, tx)
	f.start(t, RelayConfig{})
	f.awaitPublished(t)

	records := kafkatest.ReadAll(t, f.brokers, dlq.Name)
	byValue := map[string]*kgo.Record{}
	for _, r := range records {
		byValue[fmt.Sprintf("%q/%t", r.Value, r.Value == nil)] = r
	}
	first, tombstone, empty := byValue[`"no key"/false`], byValue[`""/true`], byValue[`""/false`]
	if first == nil || tombstone == nil || empty == nil {
		t.Fatalf("got %v", byValue)
	}
	if first.Key != nil || empty.Key == nil || string(tombstone.Key) != "\xff\x00" {
		t.Errorf("keys: %v, %v, %v", first.Key, tombstone.Key, empty.Key)
	}
	got := kafkatest.Headers(first)
	for i := range got {
		if i < len(headers) && (got[i].Key != headers[i].Key || string(got[i].Value) != string(headers[i].Value)) {
			t.Errorf("header %d: got %q, want %q", i, got[i], headers[i])
		}
	}
	if len(got) != len(headers) {
		t.Errorf("got %d headers, want %d", len(got), len(headers))
	}
}

// The latency of an order is made of this: no poll, no linger.
func TestWakePublishesWithoutPolling(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	r := f.start(t, RelayConfig{PollEvery: time.Hour})
	kafkatest.Eventually(t, "the relay to lead", func() bool { return f.holders(t)[r.id] == shards })
	for i := range 20 {
		f.append(t, fmt.Sprintf("k%d", i%7))
		f.out.Wake()
		f.awaitPublished(t)
	}
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

// A sequence number is drawn when a row is written and not when it commits.
func TestLowerSequenceThatCommitsLaterIsPublished(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	f.start(t, RelayConfig{PollEvery: 20 * time.Millisecond})

	late := f.begin(t)
	f.insert(t, late, "late", "late")
	f.append(t, keys(50, 5)...)
	kafkatest.Eventually(t, "higher sequences to be published while the lower ones are open", func() bool {
		return f.stats(t).Published == 50
	})
	f.insert(t, late, "late")
	commit(t, late)
	f.append(t, keys(50, 5)...)
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

func TestRolledBackRowsAreNeverPublished(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	f.start(t, RelayConfig{PollEvery: 20 * time.Millisecond})
	tx := f.begin(t)
	f.insert(t, tx, "gone")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	delete(f.next, "gone")
	f.append(t, "stays")
	f.awaitPublished(t)
	got := versions(t, kafkatest.ReadAll(t, f.brokers, testTopic.Name))
	if diff := cmp.Diff(map[string][]int64{"stays": {1}}, got); diff != "" {
		t.Errorf("topic (-want +got):\n%s", diff)
	}
}

func TestTwoRelaysShareTheShards(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	cfg := RelayConfig{Lease: testLease, PollEvery: 10 * time.Millisecond, BatchSize: 20, MaxInFlight: 100}
	a := f.start(t, cfg)
	kafkatest.Eventually(t, "the first relay to lead all", func() bool { return f.holders(t)[a.id] == shards })
	f.append(t, keys(2000, 40)...)
	b := f.start(t, cfg)
	for range 20 {
		f.append(t, keys(100, 40)...)
		f.out.Wake()
	}
	kafkatest.Eventually(t, "an even share", func() bool {
		h := f.holders(t)
		return h[a.id] == shards/2 && h[b.id] == shards/2
	})
	f.append(t, keys(400, 40)...)
	f.awaitPublished(t)
	a.stop(t)
	f.append(t, keys(400, 40)...)
	f.awaitPublished(t)
	kafkatest.Eventually(t, "the second relay to lead all", func() bool { return f.holders(t)[b.id] == shards })
	// Shards change hands only when nothing of them is in flight.
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

func TestGracefulStopHandsTheShardsOverAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	a := f.start(t, RelayConfig{Lease: time.Hour})
	f.append(t, keys(300, 10)...)
	f.out.Wake()
	f.awaitPublished(t)
	f.append(t, keys(300, 10)...)
	f.out.Wake()
	a.stop(t) // in the middle of it, perhaps
	if h := f.holders(t); len(h) != 0 {
		t.Errorf("leases after a graceful stop: %v", h)
	}
	f.start(t, RelayConfig{Lease: time.Hour}) // would wait an hour for a lease left behind
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

func TestStopWithoutWork(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	r := NewRelay(f.pool, f.out, RelayConfig{Brokers: f.brokers})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Errorf("Run with a context that is done: %v", err)
	}
}
