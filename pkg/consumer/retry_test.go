package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// quickly returns a retry policy for tests.
func quickly(attempts int) consumer.Retry {
	return consumer.Retry{Attempts: attempts, Backoff: consumer.Backoff{Base: 5 * time.Millisecond, Max: 40 * time.Millisecond}}
}

// rows returns one column of text.
func (f *fixture) rows(sql string, args ...any) []string {
	f.t.Helper()
	rows, err := f.pool.Query(f.t.Context(), sql, args...)
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// first waits for a topic's first record.
func (f *fixture) first(topic event.Topic) (r *kgo.Record) {
	f.t.Helper()
	kafkatest.Eventually(f.t, "a record on "+topic.Name, func() bool {
		if all := kafkatest.ReadAll(f.t, f.brokers, topic.Name); len(all) > 0 {
			r = all[0]
		}
		return r != nil
	})
	return r
}

// awaitNothingParked waits until no key is parked.
func (f *fixture) awaitNothingParked() {
	f.t.Helper()
	kafkatest.Eventually(f.t, "no key parked", func() bool {
		return len(f.rows(`SELECT topic FROM parked_keys UNION ALL SELECT topic FROM parked_records`)) == 0
	})
}

func TestAFailingRecordIsTriedAgainAndOnlyItsKeyWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var tries atomic.Int32
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		// What a failed attempt writes must not stay.
		if err := effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion)); err != nil {
			return err
		}
		if e.Data.ParcelID == "a" && e.AggregateVersion == 2 {
			tries.Add(1)
		}
		if e.Data.ParcelID == "a" && e.AggregateVersion == 2 && e.Attempt < 4 {
			return errors.New("not this time")
		}
		return nil
	}
	var all []*kgo.Record
	for v := range int64(5) {
		for _, order := range []string{"a", "b", "c"} {
			r := f.record(collected(order), v+1)
			r.Partition = 3 // neighbours in one batch
			all = append(all, r)
		}
	}
	kafkatest.Produce(t, f.brokers, all...)
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(10)})
	got := f.awaitEffects(15)
	f.awaitNothingParked()
	for _, order := range []string{"a", "b", "c"} {
		var versions []string
		for _, e := range got {
			if v, ok := strings.CutPrefix(e, order+" "); ok {
				versions = append(versions, v)
			}
		}
		if diff := cmp.Diff([]string{"1", "2", "3", "4", "5"}, versions); diff != "" {
			t.Errorf("order of %s (-want +got):\n%s", order, diff)
		}
	}
	if i, j := slices.Index(got, "c 5"), slices.Index(got, "a 2"); i > j {
		t.Errorf("the neighbours waited for the failing record: %v", got)
	}
	if n := tries.Load(); n < 4 {
		t.Errorf("%d tries, want at least 4", n)
	}
}

func TestAttemptsSpentIsADeadLetterThatParksItsKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Data.ParcelID == "a" && e.AggregateVersion == 1 {
			panic("a bug in the handler")
		}
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
	}
	bad := f.record(collected("a"), 1)
	kafkatest.Produce(t, f.brokers, bad, f.record(collected("a"), 2), f.record(collected("b"), 1))
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(3)})
	letter := f.first(event.DeadLetterTopic(sample.TopicParcelEvents, group))
	h := map[string]string{}
	for _, x := range letter.Headers {
		h[x.Key] = string(x.Value)
	}
	if string(letter.Key) != "a" || string(letter.Value) != string(bad.Value) || h["ce_type"] != "ParcelCollected" {
		t.Errorf("the original is not kept: key %q, headers %v", letter.Key, h)
	}
	for name, want := range map[string]string{
		"dlq_original_topic": sample.TopicParcelEvents, "dlq_group": group, "dlq_attempts": "3",
		"dlq_error_class": "internal", "dlq_error_message": "panic: a bug in the handler",
	} {
		if h[name] != want {
			t.Errorf("header %s = %q, want %q", name, h[name], want)
		}
	}
	if !strings.Contains(h["dlq_error_stack"], "TestAttemptsSpent") {
		t.Errorf("the stack is not the handler's:\n%s", h["dlq_error_stack"])
	}
	first, err1 := time.Parse(time.RFC3339Nano, h["dlq_first_failure"])
	last, err2 := time.Parse(time.RFC3339Nano, h["dlq_last_failure"])
	if err1 != nil || err2 != nil || !last.After(first) {
		t.Errorf("first failure %q, last %q", h["dlq_first_failure"], h["dlq_last_failure"])
	}
	if got := f.rows(`SELECT event_type || ' ' || attempts FROM dead_letters`); !slices.Equal(got, []string{"ParcelCollected 3"}) {
		t.Errorf("type and attempts of the dead letter: %v", got)
	}
	if diff := cmp.Diff([]string{"b 1"}, f.awaitEffects(1)); diff != "" {
		t.Errorf("effects while a waits for a decision (-want +got):\n%s", diff)
	}
	kafkatest.Eventually(t, "a's second event to wait behind its first", func() bool {
		return slices.Equal(f.rows(`SELECT encode(key, 'escape') || ' ' || state FROM parked_keys`), []string{"a dead"}) &&
			slices.Equal(f.rows(`SELECT encode(key, 'escape') FROM parked_records`), []string{"a"})
	})
}

// TestARetryRecordCountsOnce delivers every retry record three times.
func TestARetryRecordCountsOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Attempt == 1 {
			return errors.New("not this time")
		}
		return effect(ctx, tx, e.Data.ParcelID, "delivered")
	}
	kafkatest.Produce(t, f.brokers, f.record(collected("a"), 1))
	reg := prometheus.NewRegistry()
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(5), Registerer: reg})
	sent := f.first(event.RetryTopic(sample.TopicParcelEvents, group))
	twin := clone(sent)
	kafkatest.Produce(t, f.brokers, twin, clone(twin))
	f.awaitEffects(1)
	kafkatest.Eventually(t, "the copies to be found stale", func() bool {
		return counter(t, reg, "consumer_records_total", "outcome", "stale") == 2
	})
	if got := f.effects(); len(got) != 1 {
		t.Errorf("effects %v, want one", got)
	}
}

// TestCallsAreTriedAgainInOrder: a call that fails by its record's fault parks the key. The next
// record's call sees what the first committed.
func TestCallsAreTriedAgainInOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var mu sync.Mutex
	calls := map[int64]int{}
	call := func(ctx context.Context, e consumer.Event[sample.ParcelCollected]) (string, error) {
		mu.Lock()
		calls[e.AggregateVersion]++
		n := calls[e.AggregateVersion]
		mu.Unlock()
		if e.AggregateVersion == 1 && n < 3 {
			return "", errs.New(errs.Conflict, "no such protocol")
		}
		var before int
		err := f.pool.QueryRow(ctx, `SELECT count(*) FROM effects WHERE parcel_id = $1`, e.Data.ParcelID).Scan(&before)
		return fmt.Sprintf("%d after %d", e.AggregateVersion, before), err
	}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected], answer string) error {
		return effect(ctx, tx, e.Data.ParcelID, answer)
	}
	kafkatest.Produce(t, f.brokers, f.record(collected("a"), 1), f.record(collected("a"), 2), f.record(collected("a"), 3))
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{onCall(call, handle)}, Retry: quickly(5)})
	if diff := cmp.Diff([]string{"a 1 after 0", "a 2 after 1", "a 3 after 2"}, f.awaitEffects(3)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	f.awaitNothingParked()
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(map[int64]int{1: 3, 2: 1, 3: 1}, calls); diff != "" {
		t.Errorf("calls by version (-want +got):\n%s", diff)
	}
}

// TestAFailureThatShowsAtTheCommitIsOneRecords: a deferred constraint fails the whole transaction.
// The consumer finds the record at fault.
func TestAFailureThatShowsAtTheCommitIsOneRecords(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, sql := range []string{
		`CREATE TABLE known (parcel_id text PRIMARY KEY)`,
		`INSERT INTO known VALUES ('b'), ('c')`,
		`ALTER TABLE effects ADD FOREIGN KEY (parcel_id) REFERENCES known DEFERRABLE INITIALLY DEFERRED`,
	} {
		if _, err := f.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	produce(t, f, map[string]int32{"a": 0, "b": 0, "c": 0}, "b", "a", "c", "b")
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}, Retry: quickly(2)})
	got := f.awaitEffects(3)
	if slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "a") }) {
		t.Errorf("effects %v", got)
	}
	kafkatest.Eventually(t, "a's dead letter", func() bool { return f.deadLetters() == 1 })
}

// TestASwallowedDatabaseErrorIsItsRecords: a handler that ignores a failed statement leaves a
// transaction that cannot be used.
func TestASwallowedDatabaseErrorIsItsRecords(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Data.ParcelID == "a" {
			_, _ = tx.Exec(ctx, `SELECT 1/0`)
			return nil
		}
		return effect(ctx, tx, e.Data.ParcelID, "delivered")
	}
	produce(t, f, map[string]int32{"a": 0, "b": 0, "c": 0}, "b", "a", "c")
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)})
	f.awaitEffects(2)
	kafkatest.Eventually(t, "a's dead letter", func() bool { return f.deadLetters() == 1 })
}

// TestManyFailuresKeepOrderAndLoseNothing checks the property that parked keys provide, with
// records of many keys, some failing once, some always, while consumers start and stop.
func TestManyFailuresKeepOrderAndLoseNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const keys, each = 30, 30
	rnd := rand.New(rand.NewPCG(4, 2))
	kind := map[string]string{} // "key version" → once, always
	var records []*kgo.Record
	for v := range int64(each) {
		for k := range keys {
			order := fmt.Sprintf("k%02d", k)
			switch n := rnd.Float64(); {
			case n < 0.01:
				kind[fmt.Sprint(order, " ", v+1)] = "always"
			case n < 0.1:
				kind[fmt.Sprint(order, " ", v+1)] = "once"
			}
			records = append(records, f.record(collected(order), v+1))
		}
	}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		id := fmt.Sprint(e.Data.ParcelID, " ", e.AggregateVersion)
		if kind[id] == "always" || kind[id] == "once" && e.Attempt == 1 {
			return errors.New(kind[id])
		}
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
	}
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(3)}
	stopA := f.run(cfg)
	kafkatest.Produce(t, f.brokers, records...)
	f.awaitEffects(100)
	stopB := f.run(cfg)
	f.awaitEffects(200)
	stopA()
	stopC := f.run(cfg)
	accounted := func() int {
		return len(f.effects()) + len(f.rows(`SELECT status FROM dead_letters UNION ALL SELECT topic FROM parked_records`))
	}
	kafkatest.Eventually(t, "every record done, given up or behind one that is", func() bool {
		return accounted() == len(records) && len(f.rows(`SELECT topic FROM parked_keys WHERE state = 'retrying'`)) == 0
	})
	stopB()
	stopC()
	if n := accounted(); n != len(records) {
		t.Errorf("%d records accounted for, want %d", n, len(records))
	}
	next := map[string]int{}
	for _, e := range f.effects() {
		var order string
		var version int
		if _, err := fmt.Sscan(e, &order, &version); err != nil {
			t.Fatal(err)
		}
		if next[order]++; next[order] != version {
			t.Fatalf("%s: version %d came as number %d", order, version, next[order])
		}
	}
	var dead int
	for _, k := range kind {
		if k == "always" {
			dead++
		}
	}
	if dead == 0 {
		t.Fatal("nothing fails always: the draw is of no use")
	}
}

// busyError asks the caller to wait, as an open circuit breaker does.
type busyError struct{ wait time.Duration }

func (e *busyError) Error() string             { return "busy" }
func (e *busyError) RetryAfter() time.Duration { return e.wait }

// TestAnOpenBreakerPausesThePartition: the consumer waits as long as the error asks, does not try
// in the meantime, gives up no record, and goes on with the other partitions.
func TestAnOpenBreakerPausesThePartition(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const wait = 400 * time.Millisecond
	var open atomic.Bool
	open.Store(true)
	var refusals atomic.Int32
	call := func(_ context.Context, e consumer.Event[sample.ParcelCollected]) (string, error) {
		if e.Data.ParcelID == "a" && open.Load() {
			refusals.Add(1)
			return "", errs.New(errs.Transient, "call: %w", &busyError{wait})
		}
		return "called", nil
	}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected], answer string) error {
		return effect(ctx, tx, e.Data.ParcelID, answer)
	}
	produce(t, f, map[string]int32{"a": 0, "c": 1}, "a", "a", "c")
	began := time.Now()
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{onCall(call, handle)}, Retry: quickly(2)})
	if diff := cmp.Diff([]string{"c called"}, f.awaitEffects(1)); diff != "" {
		t.Errorf("effects while the breaker is open (-want +got):\n%s", diff)
	}
	kafkatest.Eventually(t, "three refusals", func() bool { return refusals.Load() >= 3 })
	if most := int32(time.Since(began)/wait) + 1; refusals.Load() > most {
		t.Errorf("%d tries in %s, want at most %d", refusals.Load(), time.Since(began), most)
	}
	open.Store(false)
	if diff := cmp.Diff([]string{"c called", "a called", "a called"}, f.awaitEffects(3)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if n := f.deadLetters(); n != 0 {
		t.Errorf("%d dead letters, want none", n)
	}
}

// TestASubscriptionHasItsOwnRetries: one type has a single attempt, beside a type with many.
func TestASubscriptionHasItsOwnRetries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var tries atomic.Int32
	never := func(context.Context, pgx.Tx, consumer.Event[sample.ParcelCollected]) error {
		return errors.New("never")
	}
	later := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelLabelled]) error {
		tries.Store(int32(e.Attempt))
		if e.Attempt < 4 {
			return errors.New("not yet")
		}
		return effect(ctx, tx, e.Data.ParcelID, "confirmed")
	}
	kafkatest.Produce(t, f.brokers, f.record(collected("a"), 1), f.record(confirmed("b"), 1))
	f.run(consumer.Config{Retry: quickly(4), Subscriptions: []consumer.Subscription{
		on(never).WithRetry(consumer.Retry{Attempts: 1}), on(later),
	}})
	if diff := cmp.Diff([]string{"b confirmed"}, f.awaitEffects(1)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if n := tries.Load(); n != 4 {
		t.Errorf("%d attempts of the one, want 4", n)
	}
	if got := f.rows(`SELECT attempts || ' ' || status FROM dead_letters`); !slices.Equal(got, []string{"1 open"}) {
		t.Errorf("dead letters of the other: %v", got)
	}
	if n := f.rows(`SELECT topic FROM outbox WHERE topic LIKE '%.retry' AND key = 'a'`); len(n) != 0 {
		t.Errorf("%d retries of a record that has none", len(n))
	}
}

// A retry record was written while a clock was an hour ahead. It does not wait for an hour: the
// longest wait is that between two attempts, counted from when the record is read.
func TestAClockThatWasAheadHoldsNoRetryUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := retry.New(group, f.outbox)
	r := f.record(collected("a"), 1)
	err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		ahead := time.Now().Add(time.Hour)
		return s.Park(t.Context(), tx, retry.Head{
			Record:  retry.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: kafkatest.Headers(r), Time: time.Now()},
			InboxID: uuid.Must(uuid.NewV7()), EventType: "ParcelCollected",
			Failure: retry.Failure{}.Failed(errors.New("once"), nil, ahead), NotBefore: ahead,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	f.outbox.Wake()
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(simply)}, Retry: quickly(5)})
	f.awaitEffects(1)
	f.awaitNothingParked()
}
