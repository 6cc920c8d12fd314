package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// together produces records on partition 0 of their topics in one go, so that a consumer
// which starts behind them has them in one batch.
func (b *bench) together(records ...*kgo.Record) {
	b.t.Helper()
	cl := kafkatest.NewClient(b.t, b.brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(1_048_588))
	copies := make([]*kgo.Record, len(records))
	for i, r := range records {
		again := *r
		again.Partition = 0
		copies[i] = &again
	}
	if err := cl.ProduceSync(b.t.Context(), copies...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// undecodable is an event by its envelope whose value is cut.
func (b *bench) undecodable(key string, version int64) *kgo.Record {
	r := b.record(delivered(key), version)
	r.Value = r.Value[:len(r.Value)-3]
	return r
}

// parkedBehind lists the versions of the events that wait behind the head of a key, in
// order of arrival.
func (b *bench) parkedBehind(key string) (versions []int64) {
	b.t.Helper()
	err := postgres.InTx(b.t.Context(), b.pool, func(tx pgx.Tx) error {
		followers, err := retry.New(group, b.outbox).Followers(b.t.Context(), tx, retry.Key{Topic: events.TopicOrderEvents, Key: key}, 1000)
		for _, f := range followers {
			env, err := events.ParseEnvelope(f.Headers)
			if err != nil {
				return err
			}
			versions = append(versions, env.AggregateVersion)
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return versions
}

// discardAll decides about every open dead letter.
func (b *bench) discardAll(s *retry.Store) {
	b.t.Helper()
	open, _, err := s.List(b.t.Context(), b.pool, retry.Filter{Status: retry.StatusOpen})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, l := range open {
		if _, err := s.Discard(b.t.Context(), b.pool, l.ID, "ada", "not needed", false); err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestWhatIsGivenUpParksItsKeyWithinTheBatch: the records behind it are in the same
// transaction, and wait all the same; those of other keys are handled.
func TestWhatIsGivenUpParksItsKeyWithinTheBatch(t *testing.T) {
	t.Parallel()
	for name, undecodable := range map[string]bool{"undecodable": true, "hopeless": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
				if e.Data.OrderID == "a" && e.AggregateVersion == 1 {
					return errs.New(errs.Hopeless, "no use")
				}
				return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
			}
			first := b.record(delivered("a"), 1)
			if undecodable {
				first = b.undecodable("a", 1)
			}
			b.together(first, b.record(delivered("a"), 2), b.record(delivered("b"), 1), b.record(delivered("a"), 3))
			reg := prometheus.NewRegistry()
			b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Registerer: reg})
			kafkatest.Eventually(t, "four records", func() bool { return counter(t, reg, "eventshop_consumer_records_total") == 4 })
			if diff := cmp.Diff([]string{"b 1"}, b.effects()); diff != "" {
				t.Errorf("effects while a waits for a decision (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]int64{2, 3}, b.parkedBehind("a")); diff != "" {
				t.Errorf("behind it (-want +got):\n%s", diff)
			}
			s := retry.New(group, b.outbox)
			if l := b.letters(s, retry.StatusOpen, 1)[0]; !l.Parks || l.EventID == uuid.Nil || l.EventType != "OrderDelivered" || l.Class != "hopeless" {
				t.Errorf("dead letter %+v", l)
			}
			b.discardAll(s)
			if diff := cmp.Diff([]string{"b 1", "a 2", "a 3"}, b.awaitEffects(3)); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			b.awaitNothingParked()
		})
	}
}

// TestAnUndecodableRecordWaitsBehindWhatFails: its key is parked by a record of the same
// batch, so its turn to be given up comes when that is out of the way.
func TestAnUndecodableRecordWaitsBehindWhatFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		failure error
		effects []string
	}{
		"tried again": {errors.New("not this time"), []string{"a 1", "b 1"}},
		"given up":    {errs.New(errs.Hopeless, "no use"), []string{"b 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			var mended atomic.Bool
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
				if e.Data.OrderID == "a" && e.AggregateVersion == 1 {
					switch {
					case e.Attempt == 1:
						return tc.failure
					case !mended.Load():
						return errs.New(errs.Transient, "not yet")
					}
				}
				return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
			}
			b.together(b.record(delivered("a"), 1), b.undecodable("a", 2), b.record(delivered("b"), 1), b.record(delivered("a"), 3))
			reg := prometheus.NewRegistry()
			b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Registerer: reg})
			kafkatest.Eventually(t, "four records", func() bool {
				return counter(t, reg, "eventshop_consumer_records_total", "topic", events.TopicOrderEvents) >= 4
			})
			if diff := cmp.Diff([]int64{2, 3}, b.parkedBehind("a")); diff != "" {
				t.Errorf("behind the first (-want +got):\n%s", diff)
			}
			mended.Store(true)
			s := retry.New(group, b.outbox)
			want := append(slices.Clone(tc.effects), "a 3")
			kafkatest.Eventually(t, "the rest", func() bool {
				b.discardAll(s)
				return len(b.effects()) >= len(want)
			})
			got := b.effects()
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			b.awaitNothingParked()
		})
	}
}

// TestManyFollowersGoOnInOrder: more than one transaction takes, the last one's exact
// number among them.
func TestManyFollowersGoOnInOrder(t *testing.T) {
	t.Parallel()
	for _, followers := range []int{99, 100, 101, 230} {
		t.Run(fmt.Sprint(followers), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			var mended atomic.Bool
			var mu sync.Mutex
			inOne := map[string]int{} // effects by transaction
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
				switch {
				case e.AggregateVersion > 1:
				case e.Attempt == 1:
					return errors.New("not this time")
				case !mended.Load():
					return errs.New(errs.Transient, "not yet")
				}
				var id string
				if err := tx.QueryRow(ctx, `SELECT pg_current_xact_id()::text`).Scan(&id); err != nil {
					return err
				}
				mu.Lock()
				inOne[id]++
				mu.Unlock()
				return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
			}
			var records []*kgo.Record
			var want []string
			for v := range int64(followers + 1) {
				records = append(records, b.record(delivered("a"), v+1))
				want = append(want, fmt.Sprintf("a %d", v+1))
			}
			b.together(records...)
			b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}})
			kafkatest.Eventually(t, "the others to wait", func() bool { return len(b.rows(`SELECT topic FROM parked_records`)) == followers })
			mended.Store(true)
			if diff := cmp.Diff(want, b.awaitEffects(len(want))); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			b.awaitNothingParked()
			mu.Lock()
			defer mu.Unlock()
			for id, n := range inOne {
				if n > 101 {
					t.Errorf("%d records in transaction %s, want at most a head and 100 followers", n, id)
				}
			}
		})
	}
}

// TestFollowersFailOneByOne: among those that go on some fail, are undecodable, are of a
// type without a subscription, or come twice. What is behind each waits for it.
func TestFollowersFailOneByOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var mended atomic.Bool
	attempts := map[int64]int{1: 2, 3: 3, 8: 2}
	var mu sync.Mutex
	runs := map[string]int{}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		mu.Lock()
		runs[fmt.Sprintf("%d.%d", e.AggregateVersion, e.Attempt)]++
		mu.Unlock()
		if err := effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion)); err != nil {
			return err
		}
		switch {
		case e.AggregateVersion == 5:
			return errs.New(errs.Hopeless, "no use")
		case e.Attempt < attempts[e.AggregateVersion]:
			return errors.New("not this time")
		case e.AggregateVersion == 1 && !mended.Load():
			return errs.New(errs.Transient, "not yet")
		}
		return nil
	}
	b.together(
		b.record(delivered("a"), 1), b.record(delivered("a"), 2), b.record(delivered("a"), 3), b.record(confirmed("a"), 4),
		b.record(delivered("a"), 5), b.undecodable("a", 6), b.record(delivered("a"), 7), b.record(delivered("a"), 8), b.record(delivered("a"), 9))
	reg := prometheus.NewRegistry()
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(5), Registerer: reg})
	kafkatest.Eventually(t, "the others to wait", func() bool { return len(b.rows(`SELECT topic FROM parked_records`)) == 7 }) // not the foreign one
	mended.Store(true)
	s := retry.New(group, b.outbox)
	for _, want := range [][]string{{"a 1", "a 2", "a 3"}, {"a 1", "a 2", "a 3"}} { // 5 is given up, then 6
		l := b.letters(s, retry.StatusOpen, 1)[0]
		if diff := cmp.Diff(want, b.effects()); diff != "" {
			t.Errorf("effects (-want +got):\n%s", diff)
		}
		if l.Attempts != 1 || !l.Parks {
			t.Errorf("dead letter %+v", l)
		}
		b.discardAll(s)
	}
	if diff := cmp.Diff([]string{"a 1", "a 2", "a 3", "a 7", "a 8", "a 9"}, b.awaitEffects(6)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	b.awaitNothingParked()
	if n := counter(t, reg, "eventshop_consumer_records_total", "outcome", "handled"); n != 6 {
		t.Errorf("%v records counted as handled, want 6", n)
	}
	mu.Lock()
	defer mu.Unlock()
	for run, n := range map[string]int{"3.2": 1, "3.3": 1, "8.2": 1, "5.2": 0, "2.2": 0, "9.2": 0} {
		if runs[run] != n {
			t.Errorf("version.attempt %s ran %d times, want %d", run, runs[run], n)
		}
	}
}

// TestAFollowerThatCallsHasItsTurnAlone: its call is made when what is before it is
// committed, and what is behind it waits.
func TestAFollowerThatCallsHasItsTurnAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var mended atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		switch {
		case e.AggregateVersion > 1:
		case e.Attempt == 1:
			return errors.New("not this time")
		case !mended.Load():
			return errs.New(errs.Transient, "not yet")
		}
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
	}
	var calls atomic.Int32
	call := func(ctx context.Context, e consumer.Event[events.OrderConfirmed]) (string, error) {
		calls.Add(1)
		return fmt.Sprint("after ", len(b.effects())), nil
	}
	with := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderConfirmed], answer string) error {
		return effect(ctx, tx, e.Data.OrderID, answer)
	}
	subs := []consumer.Subscription{consumer.On(handle), consumer.OnCall(call, with)}
	b.together(b.record(delivered("a"), 1), b.record(delivered("a"), 2))
	b.run(consumer.Config{Subscriptions: subs, Retry: quickly(5)})
	kafkatest.Eventually(t, "one to wait", func() bool { return len(b.rows(`SELECT topic FROM parked_records`)) == 1 })
	b.together(b.record(confirmed("a"), 3), b.record(delivered("a"), 4), b.record(confirmed("a"), 5))
	kafkatest.Eventually(t, "all to wait", func() bool { return len(b.rows(`SELECT topic FROM parked_records`)) == 4 })
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls for records whose key is parked, want none", n)
	}
	mended.Store(true)
	if diff := cmp.Diff([]string{"a 1", "a 2", "a after 2", "a 4", "a after 4"}, b.awaitEffects(5)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	b.awaitNothingParked()
	if n := calls.Load(); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

// TestNoRecordIsLeftBehindAKeyThatIsReleased: the batch has found the key parked when a
// person discards what parks it. The release waits for the batch, and lets the record go on.
func TestNoRecordIsLeftBehindAKeyThatIsReleased(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	inside := newPoint()
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		switch {
		case e.Data.OrderID == "a" && e.AggregateVersion == 1:
			return errs.New(errs.Hopeless, "no use")
		case e.Data.OrderID == "b":
			inside.stop(ctx) // the keys have been looked at
		}
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
	}
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}})
	b.together(b.record(delivered("a"), 1))
	s := retry.New(group, b.outbox)
	id := b.letters(s, retry.StatusOpen, 1)[0].ID
	b.together(b.record(delivered("b"), 1), b.record(delivered("a"), 2))
	inside.await(t)
	discarded := make(chan error, 1)
	go func() {
		_, err := s.Discard(t.Context(), b.pool, id, "ada", "not needed", false)
		discarded <- err
	}()
	kafkatest.Eventually(t, "the release to wait", func() bool { return len(discarded) > 0 || b.lockAwaited() })
	inside.goOn()
	if err := <-discarded; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b 1", "a 2"}, b.awaitEffects(2)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	b.awaitNothingParked()
}
