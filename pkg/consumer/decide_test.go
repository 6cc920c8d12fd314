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

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
)

// letters waits until the group has n dead letters with a status.
func (f *fixture) letters(s *retry.Store, status retry.Status, n int) (all []retry.DeadLetter) {
	f.t.Helper()
	kafkatest.Eventually(f.t, fmt.Sprintf("%d dead letters %s", n, status), func() bool {
		var err error
		if all, _, err = s.List(f.t.Context(), f.pool, retry.Filter{Status: status}); err != nil {
			f.t.Fatal(err)
		}
		return len(all) == n
	})
	return all
}

// Ten operators resubmit a dead letter at once. It fails again, and is resubmitted when the handler
// is repaired. It has one effect, and its followers go on in order.
func TestResubmittedDeadLetterHasOneEffect(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var mended atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Data.ParcelID == "a" && e.AggregateVersion == 1 && !mended.Load() {
			return errors.New("a bug")
		}
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)})
	kafkatest.Produce(t, f.brokers, f.record(collected("a"), 1), f.record(collected("a"), 2), f.record(collected("a"), 3))
	s := retry.New(group, f.outbox)
	id := f.letters(s, retry.StatusOpen, 1)[0].ID
	for round, effects := range [][]string{nil, {"a 1", "a 2", "a 3"}} {
		var all sync.WaitGroup
		var with atomic.Int32
		for range 10 {
			all.Go(func() {
				done, err := s.Resubmit(t.Context(), f.pool, id, "ada", "", false)
				if err != nil {
					t.Error(err)
				}
				if done.Effect {
					with.Add(1)
				}
			})
		}
		all.Wait()
		// While the handler is broken, the dead letter may be open again before the last of the ten
		// resubmits it.
		if n := with.Load(); n < 1 || (mended.Load() && n != 1) {
			t.Errorf("round %d: %d had an effect", round, n)
		}
		if mended.Load() {
			if diff := cmp.Diff(effects, f.awaitEffects(3)); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			continue
		}
		again := f.letters(s, retry.StatusOpen, 1)[0]
		if again.ID != id || again.Attempts < 4 || len(f.effects()) != 0 {
			t.Errorf("after another failure: %+v, effects %v", again, f.effects())
		}
		mended.Store(true)
	}
	f.letters(s, retry.StatusResolved, 1)
	f.awaitNothingParked()
}

func TestDiscardedDeadLetterLetsItsFollowersGoOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.AggregateVersion == 1 {
			return errors.New("a bug")
		}
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)})
	kafkatest.Produce(t, f.brokers, f.record(collected("a"), 1), f.record(collected("a"), 2), f.record(collected("a"), 3))
	s := retry.New(group, f.outbox)
	letter := f.letters(s, retry.StatusOpen, 1)[0]
	kafkatest.Eventually(t, "its followers", func() bool { return f.letters(s, retry.StatusOpen, 1)[0].Followers == 2 })
	done, err := s.Discard(t.Context(), f.pool, letter.ID, "ada", "not needed", false)
	if err != nil || done.Followers != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	if diff := cmp.Diff([]string{"a 2", "a 3"}, f.awaitEffects(2)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	f.awaitNothingParked()
}

// A repaired record that was undecodable waits behind the record that parks its key, and is then
// handled.
func TestRepairedPoisonHasItsTurn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var mended atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.AggregateVersion == 1 && !mended.Load() {
			return errors.New("a bug")
		}
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)})
	good := f.record(collected("a"), 7)
	bad := *good
	bad.Key, bad.Value, bad.Headers = []byte("\xff"), []byte("rubbish"), nil
	kafkatest.Produce(t, f.brokers, &bad, f.record(collected("a"), 1))
	s := retry.New(group, f.outbox)
	var poison, parked uuid.UUID
	for _, l := range f.letters(s, retry.StatusOpen, 2) {
		if l.Parks {
			parked = l.ID
		} else {
			poison = l.ID
		}
	}
	e := retry.Edit{Key: &good.Key, Value: &good.Value, Headers: kafkatest.Headers(good)}
	if _, err := s.Edit(t.Context(), f.pool, poison, "ada", e, false); err != nil {
		t.Fatal(err)
	}
	done, err := s.Resubmit(t.Context(), f.pool, poison, "ada", "", false)
	if err != nil || !done.Waits {
		t.Fatalf("%+v, %v", done, err)
	}
	mended.Store(true)
	if _, err := s.Resubmit(t.Context(), f.pool, parked, "ada", "", false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a 1", "a 7"}, f.awaitEffects(2)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	f.letters(s, retry.StatusResolved, 2)
	f.awaitNothingParked()
	// The repaired event now has its own id in the inbox: a further copy is a duplicate.
	kafkatest.Produce(t, f.brokers, good, f.record(collected("a"), 8))
	if got := f.awaitEffects(3); !slices.Equal(got, []string{"a 1", "a 7", "a 8"}) {
		t.Errorf("effects %v", got)
	}
}
