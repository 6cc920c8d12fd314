package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
)

// forget empties the inbox and deletes the group: everything comes again, and all of it is
// fresh. The consumer must have stopped.
func (b *bench) forget() {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), `TRUNCATE inbox`); err != nil {
		b.t.Fatal(err)
	}
	admin := kadm.NewClient(kafkatest.NewClient(b.t, b.brokers))
	gone, err := admin.DeleteGroups(b.t.Context(), group)
	if err == nil {
		err = gone.Error()
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// flawed is the group of these tests: events of version 1 fail for good, and each is called
// for before.
type flawed struct {
	calls  atomic.Int32
	mended atomic.Bool
}

func (f *flawed) config() consumer.Config {
	call := func(context.Context, consumer.Event[events.OrderDelivered]) (string, error) {
		f.calls.Add(1)
		return "", nil
	}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered], _ string) error {
		if e.AggregateVersion == 1 && !f.mended.Load() {
			return errors.New("a bug")
		}
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
	}
	return consumer.Config{Subscriptions: []consumer.Subscription{consumer.OnCall(call, handle)}, Retry: quickly(2)}
}

// TestWhatWasGivenUpStaysDecided: everything comes again after the inbox has forgotten it.
// What a person discarded has no effect, although it would be handled now, and no call is
// made for it; what was repaired has none a second time, though its bytes on the topic are
// as broken as ever; what still waits for a decision waits once.
func TestWhatWasGivenUpStaysDecided(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var f flawed
	stop := b.run(f.config())
	good := b.record(delivered("repaired"), 7)
	broken, waiting := *good, *good
	broken.Key, broken.Value, broken.Headers = []byte("repaired"), []byte("rubbish"), nil
	waiting.Key, waiting.Value, waiting.Headers = []byte("waiting"), []byte("rubbish"), nil
	kafkatest.Produce(t, b.brokers, &broken, &waiting, b.record(delivered("discarded"), 1), b.record(delivered("discarded"), 2), b.record(delivered("open"), 1))
	s := retry.New(group, b.outbox)
	for _, l := range b.letters(s, retry.StatusOpen, 4) {
		switch string(l.Key) {
		case "discarded":
			if _, err := s.Discard(t.Context(), b.pool, l.ID, "ada", "not needed", false); err != nil {
				t.Fatal(err)
			}
		case "repaired":
			if _, err := s.Edit(t.Context(), b.pool, l.ID, "ada", retry.Edit{Value: &good.Value, Headers: kafkatest.Headers(good)}, false); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Resubmit(t.Context(), b.pool, l.ID, "ada", "", false); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.awaitEffects(2) // of "repaired", and of what followed "discarded"
	b.letters(s, retry.StatusResolved, 1)
	stop()
	f.mended.Store(true)
	effects, calls := b.effects(), f.calls.Load()
	b.forget()
	b.run(f.config())
	// One more event behind each shows that all before it came again.
	kafkatest.Produce(t, b.brokers, b.record(delivered("repaired"), 8), b.record(delivered("waiting"), 8), b.record(delivered("discarded"), 8))
	// "discarded 2" has its effect again: this handler's table knows no duplicates.
	got := b.awaitEffects(len(effects) + 4)[len(effects):]
	slices.Sort(got)
	if diff := cmp.Diff([]string{"discarded 2", "discarded 8", "repaired 8", "waiting 8"}, got); diff != "" {
		t.Errorf("effects of the replay (-want +got):\n%s", diff)
	}
	if n := f.calls.Load() - calls; n != 4 {
		t.Errorf("%d calls were made in the replay, want one for each of its 4 effects", n)
	}
	for status, n := range map[retry.Status]int{retry.StatusOpen: 2, retry.StatusResolved: 1, retry.StatusDiscarded: 1} {
		b.letters(s, status, n)
	}
	if n := b.deadLetters(); n != 4 {
		t.Errorf("%d copies of dead letters, want the 4 of before", n)
	}
}

// TestGivenUpBehindItsOwnCopy: a record comes again while its first delivery is being
// retried, so it waits behind itself. When that is given up and discarded, the copy goes
// with it.
func TestGivenUpBehindItsOwnCopy(t *testing.T) {
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
	kafkatest.Produce(t, b.brokers, b.record(delivered("a"), 1))
	s := retry.New(group, b.outbox)
	letter, err := s.Get(t.Context(), b.pool, b.letters(s, retry.StatusOpen, 1)[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	// The copy waits where the consumer put it while the record was retried.
	if err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		return s.Follow(t.Context(), tx, retry.Follower{Record: letter.Original, InboxID: letter.InboxID, EventType: letter.EventType})
	}); err != nil {
		t.Fatal(err)
	}
	mended.Store(true)
	done, err := s.Discard(t.Context(), b.pool, letter.ID, "ada", "not needed", false)
	if err != nil || done.Followers != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	kafkatest.Produce(t, b.brokers, b.record(delivered("a"), 2))
	if diff := cmp.Diff([]string{"a 2"}, b.awaitEffects(1)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	b.awaitNothingParked()
}
