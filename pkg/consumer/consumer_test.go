package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/schema"
)

func onDelivered(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
	return effect(ctx, tx, e.Data.ParcelID, "delivered")
}

func TestAnEventHasOneEffectHoweverOftenItComes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	reg := prometheus.NewRegistry()
	r := f.record(collected("o-1"), 1)
	kafkatest.Produce(t, f.brokers, r, clone(r), f.record(collected("o-2"), 1), clone(r))
	stop := f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}, Registerer: reg})
	kafkatest.Eventually(t, "four records", func() bool {
		return counter(t, reg, "consumer_records_total") == 4
	})
	stop()
	if got := f.effects(); len(got) != 2 {
		t.Fatalf("effects %v, want one each of o-1 and o-2", got)
	}
	if n := counter(t, reg, "consumer_records_total", "outcome", "duplicate"); n != 2 {
		t.Errorf("%v duplicates counted, want 2", n)
	}

	// A new member that reads everything again from the start adds no effect.
	again := prometheus.NewRegistry()
	f.run(consumer.Config{
		Subscriptions: []consumer.Subscription{on(onDelivered)}, Registerer: again,
		KgoOpts: []kgo.Opt{kgo.ConsumerGroup("another-offset-store")},
	})
	kafkatest.Eventually(t, "the same four records", func() bool {
		return counter(t, again, "consumer_records_total", "outcome", "duplicate") == 4
	})
	if got := f.effects(); len(got) != 2 {
		t.Fatalf("effects after redelivery: %v", got)
	}
}

func TestWhatIsDownHoldsItsPartitionAndNoOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	// Keys are assigned to partitions explicitly: a and b share one, c has another.
	var heal atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Data.ParcelID == "a" && !heal.Load() {
			return errs.New(errs.Transient, "not now")
		}
		return effect(ctx, tx, e.Data.ParcelID, "delivered")
	}
	produce(t, f, map[string]int32{"a": 0, "b": 0, "c": 1}, "b", "a", "b", "c", "c")
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}})
	got := f.awaitEffects(3) // the b before a, and both c
	if slices.Contains(got, "a delivered") || count(got, "b delivered") != 1 || count(got, "c delivered") != 2 {
		t.Fatalf("effects while a fails: %v", got)
	}
	produce(t, f, map[string]int32{"c": 1}, "c")
	f.awaitEffects(4)
	heal.Store(true)
	got = f.awaitEffects(6)
	tail := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s == "c delivered" })
	if diff := cmp.Diff([]string{"b delivered", "a delivered", "b delivered"}, tail); diff != "" {
		t.Errorf("order on the waiting partition (-want +got):\n%s", diff)
	}
}

func TestAPanicIsTheRecordsFailure(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var tries atomic.Int32
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if tries.Add(1) < 3 {
			panic("a bug")
		}
		return effect(ctx, tx, e.Data.ParcelID, "delivered")
	}
	kafkatest.Produce(t, f.brokers, f.record(collected("o-1"), 1))
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}})
	f.awaitEffects(1)
	if tries.Load() != 3 {
		t.Errorf("%d tries, want 3", tries.Load())
	}
}

func TestAPoisonRecordBecomesOneDeadLetterAndOthersGoOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	reg := prometheus.NewRegistry()
	misplaced := f.record(collected("o-1"), 1)
	misplaced.Topic = sample.TopicDoorEvents
	wrongKey := f.record(collected("o-1"), 1)
	wrongKey.Key = []byte("o-2")
	unknownSchema := f.record(collected("o-1"), 1)
	unknownSchema.Value = append([]byte{0, 0, 0, 0x27, 0x0f}, unknownSchema.Value[5:]...)
	cut := f.record(collected("o-4"), 1) // keys of their own: such a record parks its key
	cut.Value = cut.Value[:len(cut.Value)-3]
	trailing := f.record(collected("o-5"), 1)
	trailing.Value = append(slices.Clone(trailing.Value), 0)
	bad := []*kgo.Record{
		{Topic: sample.TopicParcelEvents, Key: []byte("\xff"), Value: []byte("rubbish")},
		{Topic: sample.TopicParcelEvents},
		misplaced, wrongKey, unknownSchema, cut, trailing,
	}
	payments := on(func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.DoorJammed]) error { return nil })
	subs := []consumer.Subscription{on(onDelivered), payments}
	kafkatest.Produce(t, f.brokers, append(bad, f.record(collected("o-3"), 1))...)
	stop := f.run(consumer.Config{Subscriptions: subs, Registerer: reg})
	f.awaitEffects(1)
	kafkatest.Eventually(t, "the dead letters", func() bool { return f.deadLetters() == len(bad) })
	stop()

	// Read again from the start, no record has a second effect.
	again := prometheus.NewRegistry()
	f.run(consumer.Config{Subscriptions: subs, Registerer: again, KgoOpts: []kgo.Opt{kgo.ConsumerGroup("elsewhere")}})
	kafkatest.Eventually(t, "all records again", func() bool {
		return counter(t, again, "consumer_records_total") == float64(len(bad)+1)
	})
	if n := f.deadLetters(); n != len(bad) {
		t.Errorf("%d dead letters after redelivery, want %d", n, len(bad))
	}
	var topic string
	var payload, key []byte
	err := f.pool.QueryRow(t.Context(), `SELECT topic, payload, key FROM outbox WHERE payload = 'rubbish'`).Scan(&topic, &payload, &key)
	if err != nil || topic != "parcel.events.testers.dlq" || string(key) != "\xff" {
		t.Errorf("dead letter of the poison record: topic %q key %q payload %q, %v", topic, key, payload, err)
	}
}

// TestRubbishNearTheSizeLimit: an undecodable record that is too large to be sent again with the
// dead-letter headers is sent without its bytes, and blocks no other record.
func TestPoisonNearTheSizeLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, r := range []*kgo.Record{
		{Topic: sample.TopicParcelEvents, Key: []byte("k"), Value: make([]byte, 1_040_000)},
		{Topic: sample.TopicParcelEvents, Key: []byte("k"), Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "h", Value: make([]byte, 1_040_000)}}},
	} {
		cl := kafkatest.NewClient(t, f.brokers, kgo.ProducerBatchMaxBytes(1_048_588))
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	kafkatest.Produce(t, f.brokers, f.record(collected("k"), 1))
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}})
	f.awaitEffects(1)
	if n := f.deadLetters(); n != 2 {
		t.Errorf("%d dead letters, want 2", n)
	}
}

func TestAHopelessHandlerErrorIsADeadLetter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Data.ParcelID == "o-2" {
			return errs.New(errs.Hopeless, "no such thing as o-2")
		}
		return effect(ctx, tx, e.Data.ParcelID, "delivered")
	}
	produce(t, f, map[string]int32{"o-1": 0, "o-2": 0, "o-3": 0}, "o-1", "o-2", "o-3")
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}})
	if diff := cmp.Diff([]string{"o-1 delivered", "o-3 delivered"}, f.awaitEffects(2)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if n := f.deadLetters(); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
}

// TestTheEndOfATransactionIsPassed: Kafka Connect leaves ends of transactions in the topics. They
// are no events, and a group that has read everything has no lag.
func TestTheEndOfATransactionIsPassed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cl := kafkatest.NewClient(t, f.brokers, kgo.TransactionalID("connect"))
	for version := range int64(2) {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), f.record(collected("o-1"), version+1)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}})
	f.awaitEffects(2)
	adm := kadm.NewClient(kafkatest.NewClient(t, f.brokers))
	kafkatest.Eventually(t, "no lag", func() bool {
		lags, err := adm.Lag(t.Context(), group)
		if err != nil || lags.Error() != nil {
			t.Fatal(err, lags.Error())
		}
		return lags[group].State == "Stable" && lags[group].Lag.Total() == 0
	})
	if n := f.deadLetters(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

func TestUnsubscribedEventsAreCountedAsIgnored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	reg := prometheus.NewRegistry()
	kafkatest.Produce(t, f.brokers, f.record(confirmed("o-1"), 1), f.record(collected("o-1"), 2))
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}, Registerer: reg})
	f.awaitEffects(1)
	kafkatest.Eventually(t, "the ignored one", func() bool {
		return counter(t, reg, "consumer_records_total", "outcome", "ignored") == 1
	})
}

// TestTheOtherStyleIsIgnored: what starts a step in one style of the saga has no effect in the other,
// and is counted as such. A subscription that names no style takes the events of both. An event that
// a handler appends has the style of its cause.
func TestTheOtherStyleIsIgnored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	reg := prometheus.NewRegistry()
	styled := func(r *kgo.Record, style event.Style) *kgo.Record {
		r.Headers = slices.DeleteFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == event.HeaderStyle })
		if style != "" {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: event.HeaderStyle, Value: []byte(style)})
		}
		return r
	}
	undecodable := styled(f.record(collected("o-4"), 1), event.Orchestrated)
	undecodable.Value = []byte("no event")
	kafkatest.Produce(t, f.brokers,
		styled(f.record(collected("o-1"), 1), event.Orchestrated),
		undecodable, // whether its bytes are an event is for the readers of its style to find out
		styled(f.record(collected("o-2"), 1), event.Choreographed),
		styled(f.record(collected("o-3"), 1), ""), // of an earlier release
		styled(f.record(confirmed("o-1"), 2), event.Orchestrated),
	)
	causes := make(chan outbox.Cause, 3)
	f.run(consumer.Config{Registerer: reg, Subscriptions: []consumer.Subscription{
		on(func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
			return effect(ctx, tx, e.Data.ParcelID, "collected "+string(e.Cause().Style))
		}).Of(event.Choreographed),
		on(func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelLabelled]) error {
			causes <- e.Cause()
			return effect(ctx, tx, e.Data.ParcelID, "labelled "+string(e.Cause().Style))
		}),
	}})
	want := []string{"o-1 labelled orchestrated", "o-2 collected choreographed", "o-3 collected choreographed"}
	got := f.awaitEffects(len(want))
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if c := <-causes; c.Style != event.Orchestrated {
		t.Errorf("what follows has the style %q", c.Style)
	}
	kafkatest.Eventually(t, "the ignored ones", func() bool {
		return counter(t, reg, "consumer_records_total", "outcome", "other_style") == 2
	})
	if n := f.deadLetters(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

func TestOffsetsFollowTheDatabase(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var tries atomic.Int32
	handle := func(context.Context, pgx.Tx, consumer.Event[sample.ParcelCollected]) error {
		tries.Add(1)
		return errs.New(errs.Transient, "never")
	}
	kafkatest.Produce(t, f.brokers, f.record(collected("o-1"), 1))
	stop := f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}})
	kafkatest.Eventually(t, "several tries", func() bool { return tries.Load() >= 4 })
	stop()
	committed, err := kadm.NewClient(kafkatest.NewClient(t, f.brokers)).FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	committed.Each(func(o kadm.OffsetResponse) {
		if o.At > 0 {
			t.Errorf("offset %d of %s/%d is committed and its record never succeeded", o.At, o.Topic, o.Partition)
		}
	})
}

func TestARegistryOutageWaitsForUnknownSchemas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	kafkatest.Produce(t, f.brokers, f.record(collected("o-1"), 1))
	f.codec = newCodecWithoutCache(f)
	f.registry.SetDown(true)
	reg := prometheus.NewRegistry()
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}, Registerer: reg})
	kafkatest.Eventually(t, "failed tries", func() bool {
		return counter(t, reg, "consumer_failures_total", "kind", "transient") >= 2
	})
	if n := f.deadLetters(); n != 0 {
		t.Fatalf("%d dead letters for an outage", n)
	}
	f.registry.SetDown(false)
	f.awaitEffects(1)
}

func TestMembersComeAndGoWithoutLossOrDoubleEffect(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const parcels, each = 30, 10
	subs := []consumer.Subscription{on(onDelivered)}
	stopFirst := f.run(consumer.Config{Subscriptions: subs, MaxBatch: 7})
	var stops []func()
	want := map[string]int{}
	for round := range each {
		var rs []*kgo.Record
		for o := range parcels {
			id := fmt.Sprintf("o-%d", o)
			rs = append(rs, f.record(collected(id), int64(round+1)))
			want[id+" delivered"]++
		}
		kafkatest.Produce(t, f.brokers, rs...)
		switch round {
		case 2, 4:
			stops = append(stops, f.run(consumer.Config{Subscriptions: subs, MaxBatch: 7}))
		case 6:
			stopFirst()
		case 8:
			stops[0]()
		}
	}
	got := map[string]int{}
	for _, e := range f.awaitEffects(parcels * each) {
		got[e]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

func TestCallsComeBeforeTheTransactionOncePerKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var mu sync.Mutex
	calls := map[string]int{}
	var failing atomic.Bool
	failing.Store(true)
	call := func(ctx context.Context, e consumer.Event[sample.ParcelCollected]) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		calls[e.Data.ParcelID]++
		if e.Data.ParcelID == "o-2" && failing.Swap(false) {
			return "", errs.New(errs.Transient, "outcome unknown")
		}
		// The call sees what the key's previous record committed.
		var before int
		err := f.pool.QueryRow(ctx, `SELECT count(*) FROM effects WHERE parcel_id = $1`, e.Data.ParcelID).Scan(&before)
		return fmt.Sprintf("after %d", before), err
	}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected], answer string) error {
		return effect(ctx, tx, e.Data.ParcelID, answer)
	}
	r := f.record(collected("o-1"), 1)
	kafkatest.Produce(t, f.brokers, r, clone(r), f.record(collected("o-1"), 2), f.record(collected("o-2"), 1), f.record(collected("o-2"), 2))
	reg := prometheus.NewRegistry()
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{onCall(call, handle)}, Registerer: reg})
	got := f.awaitEffects(4)
	slices.Sort(got)
	if diff := cmp.Diff([]string{"o-1 after 0", "o-1 after 1", "o-2 after 0", "o-2 after 1"}, got); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	mu.Lock()
	defer mu.Unlock()
	if calls["o-1"] != 2 {
		t.Errorf("%d calls for o-1's two events, one of them delivered twice; want 2", calls["o-1"])
	}
	if calls["o-2"] != 3 {
		t.Errorf("%d calls for o-2, want 3: one failed", calls["o-2"])
	}
}

func TestHandlersAppendWithTheirCause(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var cause atomic.Value
	handle := func(_ context.Context, _ pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		cause.Store(e.Cause())
		return nil
	}
	id := uuid.Must(uuid.NewV7())
	kafkatest.Produce(t, f.brokers, f.recordWithID(id, collected("o-1"), 1))
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}})
	kafkatest.Eventually(t, "the event", func() bool { return cause.Load() != nil })
	if got := fmt.Sprintf("%+v", cause.Load()); !strings.Contains(got, id.String()) || !strings.Contains(got, "o-1") {
		t.Errorf("cause %s, want causation %s and correlation o-1", got, id)
	}
}

func clone(r *kgo.Record) *kgo.Record {
	return &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers}
}

func count(list []string, s string) int {
	n := 0
	for _, x := range list {
		if x == s {
			n++
		}
	}
	return n
}

// produce sends one ParcelCollected for each given key, in that order, on the given partitions.
func produce(t *testing.T, f *fixture, partitions map[string]int32, keys ...string) {
	t.Helper()
	cl := kafkatest.NewClient(t, f.brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i, key := range keys {
		r := f.record(collected(key), int64(i+1))
		r.Partition = partitions[key]
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// newCodecWithoutCache returns a codec that has the registry's address and none of its schemas.
func newCodecWithoutCache(f *fixture) *schema.Codec {
	return f.registry.Codec(sample.Catalogue())
}
