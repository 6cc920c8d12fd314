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
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
)

// forget empties the inbox and deletes the group: every record is read again, and all are fresh.
// The consumer must have stopped.
func (f *fixture) forget() {
	f.t.Helper()
	if _, err := f.pool.Exec(f.t.Context(), `TRUNCATE inbox`); err != nil {
		f.t.Fatal(err)
	}
	admin := kadm.NewClient(kafkatest.NewClient(f.t, f.brokers))
	gone, err := admin.DeleteGroups(f.t.Context(), group)
	if err == nil {
		err = gone.Error()
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// flawed is the group of these tests. Its events of version 1 fail permanently, and a call is made
// before each event.
type flawed struct {
	calls  atomic.Int32
	mended atomic.Bool
}

func (f *flawed) config() consumer.Config {
	call := func(context.Context, consumer.Event[sample.ParcelCollected]) (string, error) {
		f.calls.Add(1)
		return "", nil
	}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected], _ string) error {
		if e.AggregateVersion == 1 && !f.mended.Load() {
			return errors.New("a bug")
		}
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
	}
	return consumer.Config{Subscriptions: []consumer.Subscription{onCall(call, handle)}, Retry: quickly(2)}
}

// TestWhatWasGivenUpStaysDecided: every record is read again after the inbox has forgotten it. A
// discarded record has no effect, although the handler would now handle it, and no call is made for
// it. A repaired record has no second effect, though its bytes on the topic are still broken. A
// record that still waits for a decision waits once.
func TestWhatWasGivenUpStaysDecided(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var flaws flawed
	stop := f.run(flaws.config())
	good := f.record(collected("repaired"), 7)
	broken, waiting := *good, *good
	broken.Key, broken.Value, broken.Headers = []byte("repaired"), []byte("rubbish"), nil
	waiting.Key, waiting.Value, waiting.Headers = []byte("waiting"), []byte("rubbish"), nil
	kafkatest.Produce(t, f.brokers, &broken, &waiting, f.record(collected("discarded"), 1), f.record(collected("discarded"), 2), f.record(collected("open"), 1))
	s := retry.New(group, f.outbox)
	for _, l := range f.letters(s, retry.StatusOpen, 4) {
		switch string(l.Key) {
		case "discarded":
			if _, err := s.Discard(t.Context(), f.pool, l.ID, "ada", "not needed", false); err != nil {
				t.Fatal(err)
			}
		case "repaired":
			if _, err := s.Edit(t.Context(), f.pool, l.ID, "ada", retry.Edit{Value: &good.Value, Headers: kafkatest.Headers(good)}, false); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Resubmit(t.Context(), f.pool, l.ID, "ada", "", false); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.awaitEffects(2) // of "repaired", and of the follower of "discarded"
	f.letters(s, retry.StatusResolved, 1)
	stop()
	flaws.mended.Store(true)
	effects, calls := f.effects(), flaws.calls.Load()
	f.forget()
	f.run(flaws.config())
	// One more event behind each shows that all records before it were read again.
	kafkatest.Produce(t, f.brokers, f.record(collected("repaired"), 8), f.record(collected("waiting"), 8), f.record(collected("discarded"), 8))
	// "discarded 2" has its effect again: this handler's table does not recognise duplicates.
	got := f.awaitEffects(len(effects) + 4)[len(effects):]
	slices.Sort(got)
	if diff := cmp.Diff([]string{"discarded 2", "discarded 8", "repaired 8", "waiting 8"}, got); diff != "" {
		t.Errorf("effects of the replay (-want +got):\n%s", diff)
	}
	if n := flaws.calls.Load() - calls; n != 4 {
		t.Errorf("%d calls were made in the replay, want one for each of its 4 effects", n)
	}
	for status, n := range map[retry.Status]int{retry.StatusOpen: 2, retry.StatusResolved: 1, retry.StatusDiscarded: 1} {
		f.letters(s, status, n)
	}
	if n := f.deadLetters(); n != 4 {
		t.Errorf("%d copies of dead letters, want the 4 of before", n)
	}
}

// TestGivenUpBehindItsOwnCopy: a record is read again during its first delivery's retries, so it
// waits behind itself. When that is given up and discarded, the copy is dropped with it.
func TestGivenUpBehindItsOwnCopy(t *testing.T) {
	eitherWay(t, func(t *testing.T, f *fixture) {
		var mended atomic.Bool
		handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
			if e.AggregateVersion == 1 && !mended.Load() {
				return errors.New("a bug")
			}
			return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
		}
		f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)})
		kafkatest.Produce(t, f.brokers, f.record(collected("a"), 1))
		s := retry.New(group, f.outbox)
		letter, err := s.Get(t.Context(), f.pool, f.letters(s, retry.StatusOpen, 1)[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		// The copy waits where the consumer put it during the record's retries.
		if err := pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) error {
			return s.Follow(t.Context(), tx, retry.Follower{Record: letter.Original, InboxID: letter.InboxID, EventType: letter.EventType})
		}); err != nil {
			t.Fatal(err)
		}
		mended.Store(true)
		done, err := s.Discard(t.Context(), f.pool, letter.ID, "ada", "not needed", false)
		if err != nil || done.Followers != 1 {
			t.Fatalf("%+v, %v", done, err)
		}
		kafkatest.Produce(t, f.brokers, f.record(collected("a"), 2))
		if diff := cmp.Diff([]string{"a 2"}, f.awaitEffects(1)); diff != "" {
			t.Errorf("effects (-want +got):\n%s", diff)
		}
		f.awaitNothingParked()
	})
}
