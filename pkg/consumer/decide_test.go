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
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
)

// letters waits until the group has n dead letters with a status.
func (b *bench) letters(s *retry.Store, status retry.Status, n int) (all []retry.DeadLetter) {
	b.t.Helper()
	kafkatest.Eventually(b.t, fmt.Sprintf("%d dead letters %s", n, status), func() bool {
		var err error
		if all, _, err = s.List(b.t.Context(), b.pool, retry.Filter{Status: status}); err != nil {
			b.t.Fatal(err)
		}
		return len(all) == n
	})
	return all
}

// A dead letter is resubmitted by ten people at once, fails again, and is resubmitted
// when the handler is mended: one effect, and what waited follows in order.
func TestResubmittedDeadLetterHasOneEffect(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var mended atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.Data.OrderID == "a" && e.AggregateVersion == 1 && !mended.Load() {
			return errors.New("a bug")
		}
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
	}
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(2)})
	kafkatest.Produce(t, b.brokers, b.record(delivered("a"), 1), b.record(delivered("a"), 2), b.record(delivered("a"), 3))
	s := retry.New(group, b.outbox)
	id := b.letters(s, retry.StatusOpen, 1)[0].ID
	for round, effects := range [][]string{nil, {"a 1", "a 2", "a 3"}} {
		var all sync.WaitGroup
		var with atomic.Int32
		for range 10 {
			all.Go(func() {
				done, err := s.Resubmit(t.Context(), b.pool, id, "ada", "", false)
				if err != nil {
					t.Error(err)
				}
				if done.Effect {
					with.Add(1)
				}
			})
		}
		all.Wait()
		// With the handler broken it may be open again before the last of the ten asks.
		if n := with.Load(); n < 1 || (mended.Load() && n != 1) {
			t.Errorf("round %d: %d had an effect", round, n)
		}
		if mended.Load() {
			if diff := cmp.Diff(effects, b.awaitEffects(3)); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			continue
		}
		again := b.letters(s, retry.StatusOpen, 1)[0]
		if again.ID != id || again.Attempts < 4 || len(b.effects()) != 0 {
			t.Errorf("after another failure: %+v, effects %v", again, b.effects())
		}
		mended.Store(true)
	}
	b.letters(s, retry.StatusResolved, 1)
	b.awaitNothingParked()
}

func TestDiscardedDeadLetterLetsItsFollowersGoOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.AggregateVersion == 1 {
			return errors.New("a bug")
		}
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
	}
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(2)})
	kafkatest.Produce(t, b.brokers, b.record(delivered("a"), 1), b.record(delivered("a"), 2), b.record(delivered("a"), 3))
	s := retry.New(group, b.outbox)
	letter := b.letters(s, retry.StatusOpen, 1)[0]
	kafkatest.Eventually(t, "its followers", func() bool { return b.letters(s, retry.StatusOpen, 1)[0].Followers == 2 })
	done, err := s.Discard(t.Context(), b.pool, letter.ID, "ada", "not needed", false)
	if err != nil || done.Followers != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	if diff := cmp.Diff([]string{"a 2", "a 3"}, b.awaitEffects(2)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	b.awaitNothingParked()
}

// Rubbish that is repaired waits behind what its key is parked by, and then has its turn.
func TestRepairedRubbishHasItsTurn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var mended atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.AggregateVersion == 1 && !mended.Load() {
			return errors.New("a bug")
		}
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
	}
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(2)})
	good := b.record(delivered("a"), 7)
	bad := *good
	bad.Key, bad.Value, bad.Headers = []byte("\xff"), []byte("rubbish"), nil
	kafkatest.Produce(t, b.brokers, &bad, b.record(delivered("a"), 1))
	s := retry.New(group, b.outbox)
	var rubbish, parked uuid.UUID
	for _, l := range b.letters(s, retry.StatusOpen, 2) {
		if l.Parks {
			parked = l.ID
		} else {
			rubbish = l.ID
		}
	}
	e := retry.Edit{Key: &good.Key, Value: &good.Value, Headers: kafkatest.Headers(good)}
	if _, err := s.Edit(t.Context(), b.pool, rubbish, "ada", e, false); err != nil {
		t.Fatal(err)
	}
	done, err := s.Resubmit(t.Context(), b.pool, rubbish, "ada", "", false)
	if err != nil || !done.Waits {
		t.Fatalf("%+v, %v", done, err)
	}
	mended.Store(true)
	if _, err := s.Resubmit(t.Context(), b.pool, parked, "ada", "", false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a 1", "a 7"}, b.awaitEffects(2)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	b.letters(s, retry.StatusResolved, 2)
	b.awaitNothingParked()
	// The repaired event is known by its own id now: when it comes once more it is a duplicate.
	kafkatest.Produce(t, b.brokers, good, b.record(delivered("a"), 8))
	if got := b.awaitEffects(3); !slices.Equal(got, []string{"a 1", "a 7", "a 8"}) {
		t.Errorf("effects %v", got)
	}
}
