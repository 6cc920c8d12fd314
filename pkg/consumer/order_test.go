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
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// together produces records on partition 0 of their topics at once, so that a consumer that starts
// afterwards reads them in one batch.
func (f *fixture) together(records ...*kgo.Record) {
	f.t.Helper()
	cl := kafkatest.NewClient(f.t, f.brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(1_048_588))
	copies := make([]*kgo.Record, len(records))
	for i, r := range records {
		again := *r
		again.Partition = 0
		copies[i] = &again
	}
	if err := cl.ProduceSync(f.t.Context(), copies...).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
}

// undecodable returns a record with an event's envelope and a truncated value.
func (f *fixture) undecodable(key string, version int64) *kgo.Record {
	r := f.record(collected(key), version)
	r.Value = r.Value[:len(r.Value)-3]
	return r
}

// parkedBehind returns the versions of the events that wait behind the head of a key, in order of
// arrival.
func (f *fixture) parkedBehind(key string) (versions []int64) {
	f.t.Helper()
	err := postgres.InTx(f.t.Context(), f.pool, func(tx pgx.Tx) error {
		followers, err := retry.New(group, f.outbox).Followers(f.t.Context(), tx, retry.Key{Topic: sample.TopicParcelEvents, Key: key}, 1000)
		for _, f := range followers {
			env, err := event.ParseEnvelope(f.Headers)
			if err != nil {
				return err
			}
			versions = append(versions, env.AggregateVersion)
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return versions
}

// discardAll discards every open dead letter.
func (f *fixture) discardAll(s *retry.Store) {
	f.t.Helper()
	open, _, err := s.List(f.t.Context(), f.pool, retry.Filter{Status: retry.StatusOpen})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, l := range open {
		if _, err := s.Discard(f.t.Context(), f.pool, l.ID, "ada", "not needed", false); err != nil {
			f.t.Fatal(err)
		}
	}
}

// TestWhatIsGivenUpParksItsKeyWithinTheBatch: later records of the key wait, although they are in
// the same transaction. Those of other keys are handled.
func TestWhatIsGivenUpParksItsKeyWithinTheBatch(t *testing.T) {
	t.Parallel()
	for name, undecodable := range map[string]bool{"undecodable": true, "hopeless": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
				if e.Data.ParcelID == "a" && e.AggregateVersion == 1 {
					return errs.New(errs.Hopeless, "no use")
				}
				return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
			}
			first := f.record(collected("a"), 1)
			if undecodable {
				first = f.undecodable("a", 1)
			}
			f.together(first, f.record(collected("a"), 2), f.record(collected("b"), 1), f.record(collected("a"), 3))
			reg := prometheus.NewRegistry()
			f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Registerer: reg})
			kafkatest.Eventually(t, "four records", func() bool { return counter(t, reg, "consumer_records_total") == 4 })
			if diff := cmp.Diff([]string{"b 1"}, f.effects()); diff != "" {
				t.Errorf("effects while a waits for a decision (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]int64{2, 3}, f.parkedBehind("a")); diff != "" {
				t.Errorf("behind it (-want +got):\n%s", diff)
			}
			s := retry.New(group, f.outbox)
			if l := f.letters(s, retry.StatusOpen, 1)[0]; !l.Parks || l.EventID == uuid.Nil || l.EventType != "ParcelCollected" || l.Class != "hopeless" {
				t.Errorf("dead letter %+v", l)
			}
			f.discardAll(s)
			if diff := cmp.Diff([]string{"b 1", "a 2", "a 3"}, f.awaitEffects(3)); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			f.awaitNothingParked()
		})
	}
}

// TestAnUndecodableRecordWaitsBehindWhatFails: a record of the same batch parks its key, so it is
// given up only after that record is out of the way.
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
			f := newFixture(t)
			var mended atomic.Bool
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
				if e.Data.ParcelID == "a" && e.AggregateVersion == 1 {
					switch {
					case e.Attempt == 1:
						return tc.failure
					case !mended.Load():
						return errs.New(errs.Transient, "not yet")
					}
				}
				return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
			}
			f.together(f.record(collected("a"), 1), f.undecodable("a", 2), f.record(collected("b"), 1), f.record(collected("a"), 3))
			reg := prometheus.NewRegistry()
			f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Registerer: reg})
			kafkatest.Eventually(t, "four records", func() bool {
				return counter(t, reg, "consumer_records_total", "topic", sample.TopicParcelEvents) >= 4
			})
			if diff := cmp.Diff([]int64{2, 3}, f.parkedBehind("a")); diff != "" {
				t.Errorf("behind the first (-want +got):\n%s", diff)
			}
			mended.Store(true)
			s := retry.New(group, f.outbox)
			want := append(slices.Clone(tc.effects), "a 3")
			kafkatest.Eventually(t, "the rest", func() bool {
				f.discardAll(s)
				return len(f.effects()) >= len(want)
			})
			got := f.effects()
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			f.awaitNothingParked()
		})
	}
}

// TestManyFollowersGoOnInOrder: there are more followers than one transaction takes, and in one
// case the last transaction takes exactly its limit.
func TestManyFollowersGoOnInOrder(t *testing.T) {
	t.Parallel()
	for _, followers := range []int{99, 100, 101, 230} {
		t.Run(fmt.Sprint(followers), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			var mended atomic.Bool
			var mu sync.Mutex
			inOne := map[string]int{} // effects by transaction
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
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
				return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
			}
			var records []*kgo.Record
			var want []string
			for v := range int64(followers + 1) {
				records = append(records, f.record(collected("a"), v+1))
				want = append(want, fmt.Sprintf("a %d", v+1))
			}
			f.together(records...)
			f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}})
			kafkatest.Eventually(t, "the others to wait", func() bool { return len(f.rows(`SELECT topic FROM parked_records`)) == followers })
			mended.Store(true)
			if diff := cmp.Diff(want, f.awaitEffects(len(want))); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			f.awaitNothingParked()
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

// TestFollowersFailOneByOne: some followers fail, are undecodable, have a type without a
// subscription, or arrive twice. The records behind each wait for it.
func TestFollowersFailOneByOne(t *testing.T) {
	eitherWay(t, func(t *testing.T, f *fixture) {
		var mended atomic.Bool
		attempts := map[int64]int{1: 2, 3: 3, 8: 2}
		var mu sync.Mutex
		runs := map[string]int{}
		handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
			mu.Lock()
			runs[fmt.Sprintf("%d.%d", e.AggregateVersion, e.Attempt)]++
			mu.Unlock()
			if err := effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion)); err != nil {
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
		f.together(
			f.record(collected("a"), 1), f.record(collected("a"), 2), f.record(collected("a"), 3), f.record(confirmed("a"), 4),
			f.record(collected("a"), 5), f.undecodable("a", 6), f.record(collected("a"), 7), f.record(collected("a"), 8), f.record(collected("a"), 9))
		reg := prometheus.NewRegistry()
		f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(5), Registerer: reg})
		kafkatest.Eventually(t, "the others to wait", func() bool { return len(f.rows(`SELECT topic FROM parked_records`)) == 7 }) // not the one without a subscription
		mended.Store(true)
		s := retry.New(group, f.outbox)
		for _, want := range [][]string{{"a 1", "a 2", "a 3"}, {"a 1", "a 2", "a 3"}} { // 5 is given up, then 6
			l := f.letters(s, retry.StatusOpen, 1)[0]
			if diff := cmp.Diff(want, f.effects()); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			if l.Attempts != 1 || !l.Parks {
				t.Errorf("dead letter %+v", l)
			}
			f.discardAll(s)
		}
		if diff := cmp.Diff([]string{"a 1", "a 2", "a 3", "a 7", "a 8", "a 9"}, f.awaitEffects(6)); diff != "" {
			t.Errorf("effects (-want +got):\n%s", diff)
		}
		f.awaitNothingParked()
		if n := counter(t, reg, "consumer_records_total", "outcome", "handled"); n != 6 {
			t.Errorf("%v records counted as handled, want 6", n)
		}
		mu.Lock()
		defer mu.Unlock()
		for run, n := range map[string]int{"3.2": 1, "3.3": 1, "8.2": 1, "5.2": 0, "2.2": 0, "9.2": 0} {
			if runs[run] != n {
				t.Errorf("version.attempt %s ran %d times, want %d", run, runs[run], n)
			}
		}
	})
}

// TestAFollowerThatCallsHasItsTurnAlone: its call is made after the record before it is committed,
// and the record behind it waits.
func TestAFollowerThatCallsHasItsTurnAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var mended atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		switch {
		case e.AggregateVersion > 1:
		case e.Attempt == 1:
			return errors.New("not this time")
		case !mended.Load():
			return errs.New(errs.Transient, "not yet")
		}
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
	}
	var calls atomic.Int32
	call := func(ctx context.Context, e consumer.Event[sample.ParcelLabelled]) (string, error) {
		calls.Add(1)
		return fmt.Sprint("after ", len(f.effects())), nil
	}
	with := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelLabelled], answer string) error {
		return effect(ctx, tx, e.Data.ParcelID, answer)
	}
	subs := []consumer.Subscription{on(handle), onCall(call, with)}
	f.together(f.record(collected("a"), 1), f.record(collected("a"), 2))
	f.run(consumer.Config{Subscriptions: subs, Retry: quickly(5)})
	kafkatest.Eventually(t, "one to wait", func() bool { return len(f.rows(`SELECT topic FROM parked_records`)) == 1 })
	f.together(f.record(confirmed("a"), 3), f.record(collected("a"), 4), f.record(confirmed("a"), 5))
	kafkatest.Eventually(t, "all to wait", func() bool { return len(f.rows(`SELECT topic FROM parked_records`)) == 4 })
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls for records whose key is parked, want none", n)
	}
	mended.Store(true)
	if diff := cmp.Diff([]string{"a 1", "a 2", "a after 2", "a 4", "a after 4"}, f.awaitEffects(5)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	f.awaitNothingParked()
	if n := calls.Load(); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

// TestNoRecordIsLeftBehindAKeyThatIsReleased: the batch has found the key parked when an operator
// discards the dead letter that parks it. The release waits for the batch and lets the record go
// on.
func TestNoRecordIsLeftBehindAKeyThatIsReleased(t *testing.T) {
	eitherWay(t, func(t *testing.T, f *fixture) {
		inside := newPoint()
		handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
			switch {
			case e.Data.ParcelID == "a" && e.AggregateVersion == 1:
				return errs.New(errs.Hopeless, "no use")
			case e.Data.ParcelID == "b":
				inside.stop(ctx) // the keys have been read
			}
			return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
		}
		f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}})
		f.together(f.record(collected("a"), 1))
		s := retry.New(group, f.outbox)
		id := f.letters(s, retry.StatusOpen, 1)[0].ID
		f.together(f.record(collected("b"), 1), f.record(collected("a"), 2))
		inside.await(t)
		discarded := make(chan error, 1)
		go func() {
			_, err := s.Discard(t.Context(), f.pool, id, "ada", "not needed", false)
			discarded <- err
		}()
		kafkatest.Eventually(t, "the release to wait", func() bool { return len(discarded) > 0 || f.lockAwaited() })
		inside.goOn()
		if err := <-discarded; err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"b 1", "a 2"}, f.awaitEffects(2)); diff != "" {
			t.Errorf("effects (-want +got):\n%s", diff)
		}
		f.awaitNothingParked()
	})
}
