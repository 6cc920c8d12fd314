package relay

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/outboxtest"
)

func TestRelaySendsTheEnvelopeAndTheBytes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	e := event.Envelope{
		Source: "/test", Type: "Happened", Subject: "aggregate-1",
		AggregateVersion: 7, Time: time.Date(2026, 3, 1, 12, 0, 0, 120_000, time.UTC),
		CorrelationID: "corr", CausationID: "cause", ContentType: event.ContentTypeAvro,
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState: "a=b",
	}
	bare := e
	bare.CausationID, bare.TraceParent, bare.TraceState = "", "", ""
	cause := outbox.Cause{CorrelationID: e.CorrelationID, CausationID: e.CausationID, TraceParent: e.TraceParent, TraceState: e.TraceState}
	entry := outbox.Entry{Event: outboxtest.Happened{Key: "key-1", Text: "\x00\x00\x00\x00\x01\xff"}, AggregateID: e.Subject, Version: e.AggregateVersion, Cause: cause}
	empty := entry
	empty.Event = outboxtest.Happened{Key: "key-1"}
	tx := f.Begin(t)
	if err := f.Out.Append(t.Context(), tx, entry, empty); err != nil {
		t.Fatal(err)
	}
	outboxtest.Commit(t, tx)
	ids := f.ids(t)
	e.ID, bare.ID = ids[0], ids[1]
	// Append sets every column. Rows of earlier builds may lack some.
	owner := f.Owner(t)
	for _, sql := range []string{
		`UPDATE outbox SET ce_time = '2026-03-01T12:00:00.00012Z'`,
		`UPDATE outbox SET ce_causationid = NULL, traceparent = NULL, tracestate = NULL WHERE octet_length(payload) = 0`,
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	f.start(t, Config{Registerer: prometheus.NewRegistry()})
	f.awaitPublished(t)

	records := kafkatest.ReadAll(t, f.brokers, testTopic.Name)
	if len(records) != 2 {
		t.Fatalf("got %d records, want 2", len(records))
	}
	for i, want := range []event.Envelope{e, bare} {
		if diff := cmp.Diff(want.Headers(), kafkatest.Headers(records[i])); diff != "" {
			t.Errorf("headers of record %d (-want +got):\n%s", i, diff)
		}
	}
	if diff := cmp.Diff([]byte{0, 0, 0, 0, 1, 0xff}, records[0].Value); diff != "" {
		t.Errorf("value (-want +got):\n%s", diff)
	}
	// Murmur2 over the key, as the Java client does it.
	want := kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte("key-1")}, int(testTopic.Partitions))
	if int(records[0].Partition) != want {
		t.Errorf("partition %d, want %d", records[0].Partition, want)
	}
}

func TestRawRecordsKeepTheirBytes(t *testing.T) {
	t.Parallel()
	dlq := event.Topic{Name: "parcel.events.lockers.dlq", Partitions: 1}
	f := newFixture(t, kafkatest.Start(t, dlq))
	headers := []event.Header{
		{Key: "b", Value: []byte{0, 1, 0xff}}, {Key: "a", Value: nil}, {Key: "b", Value: []byte("again")},
		{Key: "nul\x00", Value: []byte("x")}, {Key: "bad\xff", Value: []byte("y")}, {Key: "", Value: []byte("z")},
	}
	raws := []outbox.Raw{
		{ID: uuid.Must(uuid.NewV7()), Topic: dlq.Name, Key: nil, Payload: []byte("no key"), Headers: headers},
		{ID: uuid.Must(uuid.NewV7()), Topic: dlq.Name, Key: []byte{0xff, 0}, Payload: nil},
		{ID: uuid.Must(uuid.NewV7()), Topic: dlq.Name, Key: []byte{}, Payload: []byte{}},
	}
	tx := f.Begin(t)
	if err := f.Out.AppendRaw(t.Context(), tx, raws...); err != nil {
		t.Fatal(err)
	}
	outboxtest.Commit(t, tx)
	f.start(t, Config{})
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

// The latency of what follows from an event depends on this: no poll, no linger.
func TestWakePublishesWithoutPolling(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	r := f.start(t, Config{PollEvery: time.Hour})
	kafkatest.Eventually(t, "the relay to lead", func() bool { return f.Holders(t)[r.table.id] == outbox.Shards })
	for i := range 20 {
		f.Append(t, fmt.Sprintf("k%d", i%7))
		f.Out.Wake()
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
	f.start(t, Config{PollEvery: 20 * time.Millisecond})

	late := f.Begin(t)
	f.Insert(t, late, "late", "late")
	f.Append(t, outboxtest.Keys(50, 5)...)
	kafkatest.Eventually(t, "higher sequences to be published while the lower ones are open", func() bool {
		return f.stats(t).Published == 50
	})
	f.Insert(t, late, "late")
	outboxtest.Commit(t, late)
	f.Append(t, outboxtest.Keys(50, 5)...)
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

func TestRolledBackRowsAreNeverPublished(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	f.start(t, Config{PollEvery: 20 * time.Millisecond})
	tx := f.Begin(t)
	f.Insert(t, tx, "gone")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Forget("gone")
	f.Append(t, "stays")
	f.awaitPublished(t)
	got := outboxtest.Versions(kafkatest.ReadAll(t, f.brokers, testTopic.Name))
	if diff := cmp.Diff(map[string][]int64{"stays": {1}}, got); diff != "" {
		t.Errorf("topic (-want +got):\n%s", diff)
	}
}

func TestTwoRelaysShareTheShards(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	cfg := Config{Lease: testLease, PollEvery: 10 * time.Millisecond, BatchSize: 20, MaxInFlight: 100}
	a := f.start(t, cfg)
	kafkatest.Eventually(t, "the first relay to lead all", func() bool { return f.Holders(t)[a.table.id] == outbox.Shards })
	f.Append(t, outboxtest.Keys(2000, 40)...)
	b := f.start(t, cfg)
	for range 20 {
		f.Append(t, outboxtest.Keys(100, 40)...)
		f.Out.Wake()
	}
	kafkatest.Eventually(t, "an even share", func() bool {
		h := f.Holders(t)
		return h[a.table.id] == outbox.Shards/2 && h[b.table.id] == outbox.Shards/2
	})
	f.Append(t, outboxtest.Keys(400, 40)...)
	f.awaitPublished(t)
	a.stop(t)
	f.Append(t, outboxtest.Keys(400, 40)...)
	f.awaitPublished(t)
	kafkatest.Eventually(t, "the second relay to lead all", func() bool { return f.Holders(t)[b.table.id] == outbox.Shards })
	// Shards change hands only when nothing of them is in flight.
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

func TestGracefulStopHandsTheShardsOverAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	a := f.start(t, Config{Lease: time.Hour})
	f.Append(t, outboxtest.Keys(300, 10)...)
	f.Out.Wake()
	f.awaitPublished(t)
	f.Append(t, outboxtest.Keys(300, 10)...)
	f.Out.Wake()
	a.stop(t) // possibly in the middle of the shard's rows
	if h := f.Holders(t); len(h) != 0 {
		t.Errorf("leases after a graceful stop: %v", h)
	}
	f.start(t, Config{Lease: time.Hour}) // would wait an hour for a remaining lease
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

func TestStopWithoutWork(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	r := New(f.Pool, f.Out, Config{Brokers: f.brokers})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Errorf("Run with a context that is done: %v", err)
	}
}
