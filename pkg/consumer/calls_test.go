package consumer_test

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/twmb/franz-go/pkg/kadm"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// called subscribes to OrderDelivered by a call; what it answers is the effect.
func called(call func(ctx context.Context, e consumer.Event[events.OrderDelivered]) (string, error)) consumer.Subscription {
	return consumer.OnCall(call, func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered], answer string) error {
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion, answer))
	})
}

// TestNothingIsHandledWithoutItsCall: a record's key was parked when the consumer looked, so
// no call was made, and is free when the transaction decides.
func TestNothingIsHandledWithoutItsCall(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	inside := newPoint()
	call := func(ctx context.Context, e consumer.Event[events.OrderDelivered]) (string, error) {
		switch {
		case e.Data.OrderID == "a" && e.AggregateVersion == 1:
			return "", errs.New(errs.Hopeless, "no use")
		case e.Data.OrderID == "b":
			inside.stop(ctx) // calls come behind the look
		}
		return " called", nil
	}
	sub := called(call)
	s := retry.New(group, b.outbox)
	stop := b.run(consumer.Config{Subscriptions: []consumer.Subscription{sub}})
	b.together(b.record(delivered("a"), 1))
	id := b.letters(s, retry.StatusOpen, 1)[0].ID
	stop()
	b.together(b.record(delivered("a"), 2), b.record(delivered("b"), 1))
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{sub}})
	inside.await(t)
	if done, err := s.Discard(t.Context(), b.pool, id, "ada", "not needed", false); err != nil || done.Followers != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	inside.goOn()
	got := b.awaitEffects(2)
	slices.Sort(got)
	if diff := cmp.Diff([]string{"a 2 called", "b 1 called"}, got); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// TestAnAnswerIsOfTheTryItWasGivenIn: the call was made for a try that had to wait, then the
// key was parked when the consumer looked again, and free when the transaction decided.
func TestAnAnswerIsOfTheTryItWasGivenIn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	inside := newPoint()
	s := retry.New(group, b.outbox)
	var calls, tries atomic.Int32
	var letter uuid.UUID
	call := func(ctx context.Context, e consumer.Event[events.OrderDelivered]) (string, error) {
		if e.Data.OrderID == "a" {
			return fmt.Sprint(" answer ", calls.Add(1)), nil
		}
		if tries.Load() > 0 {
			inside.stop(ctx)
		}
		return "", nil
	}
	sub := consumer.OnCall(call, func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered], answer string) error {
		if e.Data.OrderID == "a" && tries.Add(1) == 1 {
			err := postgres.InTx(ctx, b.pool, func(other pgx.Tx) (err error) {
				letter, err = s.Bury(ctx, other, retry.Letter{
					Record: retry.Record{Topic: e.Topic, Key: []byte("a"), Time: time.Now()}, InboxID: uuid.Must(uuid.NewV7()), Parks: true,
				})
				return err
			})
			return errs.New(errs.Transient, "not now; %v", err)
		}
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion, answer))
	})
	b.together(b.record(delivered("a"), 1), b.record(delivered("b"), 1))
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{sub}})
	inside.await(t)
	if _, err := s.Discard(t.Context(), b.pool, letter, "ada", "not needed", false); err != nil {
		t.Fatal(err)
	}
	inside.goOn()
	if diff := cmp.Diff([]string{"a 1 answer 2", "b 1"}, b.awaitEffects(2)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// TestNoCallIsMadeForWhatIsNoHead: a retry record that had its turn, delivered again.
func TestNoCallIsMadeForWhatIsNoHead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var calls atomic.Int32
	call := func(_ context.Context, e consumer.Event[events.OrderDelivered]) (string, error) {
		calls.Add(1)
		if e.Attempt == 1 {
			return "", errors.New("not this time")
		}
		return " called", nil
	}
	reg := prometheus.NewRegistry()
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{called(call)}, Retry: quickly(5), Registerer: reg})
	kafkatest.Produce(t, b.brokers, b.record(delivered("a"), 1))
	b.awaitEffects(1)
	b.awaitNothingParked()
	sent := b.first(events.RetryTopic(events.TopicOrderEvents, group))
	kafkatest.Produce(t, b.brokers, clone(sent), clone(sent))
	kafkatest.Eventually(t, "the copies to be found stale", func() bool {
		return counter(t, reg, "eventshop_consumer_records_total", "outcome", "stale") == 2
	})
	if n := calls.Load(); n != 2 || len(b.effects()) != 1 {
		t.Errorf("%d calls, want 2; effects %v", n, b.effects())
	}
}

// TestACallThatHasToWaitSpendsNoAttempt, of a new record, of a head, and of a follower.
func TestACallThatHasToWaitSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var mu sync.Mutex
	runs := map[string][]int{}
	own := map[string]int{"head 1": 1, "front 1": 1}
	call := func(_ context.Context, e consumer.Event[events.OrderDelivered]) (string, error) {
		id := fmt.Sprint(e.Data.OrderID, " ", e.AggregateVersion)
		mu.Lock()
		defer mu.Unlock()
		runs[id] = append(runs[id], e.Attempt)
		switch {
		case e.Attempt <= own[id]:
			return "", errors.New("its own fault")
		case len(runs[id]) < 5:
			return "", errs.New(errs.Transient, "not now")
		}
		return fmt.Sprint(" at attempt ", e.Attempt), nil
	}
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{called(call)}, Retry: quickly(2)})
	b.together(b.record(delivered("head"), 1), b.record(delivered("front"), 1), b.record(delivered("front"), 2), b.record(delivered("new"), 1))
	got := b.awaitEffects(4)
	slices.Sort(got)
	want := []string{"front 1 at attempt 2", "front 2 at attempt 1", "head 1 at attempt 2", "new 1 at attempt 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	b.awaitNothingParked()
}

// TestWhatIsBeforeARecordThatWaitsIsCommitted, and no more: offsets go up to the record
// that waits, whose wait does not begin anew.
func TestWhatIsBeforeARecordThatWaitsIsCommitted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var tries atomic.Int32
	call := func(_ context.Context, e consumer.Event[events.OrderDelivered]) (string, error) {
		if e.Data.OrderID == "a" {
			tries.Add(1)
			return "", errs.New(errs.Transient, "open: %w", &busyError{time.Hour})
		}
		return " called", nil
	}
	produce(t, b, map[string]int32{"a": 0, "b": 0, "c": 1}, "b", "b2", "a", "b", "c")
	stop := b.run(consumer.Config{Subscriptions: []consumer.Subscription{called(call)}})
	b.awaitEffects(3)
	for n := range 3 { // turns of the loop in which it is not due
		produce(t, b, map[string]int32{"c": 1}, "c")
		b.awaitEffects(4 + n)
	}
	stop()
	if n := tries.Load(); n != 1 {
		t.Errorf("%d tries of what was to be tried in an hour, want 1", n)
	}
	committed, err := kadm.NewClient(kafkatest.NewClient(t, b.brokers)).FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := committed.Lookup(events.TopicOrderEvents, 0); o.At != 2 {
		t.Errorf("committed up to %d, want 2: the record that waits", o.At)
	}
}

// TestAFollowerThatCannotBeDecodedNowWaits: the registry is down and its schema is not
// known yet. It becomes the head, and has its turn when the registry is back.
func TestAFollowerThatCannotBeDecodedNowWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var mended atomic.Bool
	first := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.Data.OrderID == "a" && !mended.Load() {
			if e.Attempt == 1 {
				return errors.New("not this time")
			}
			return errs.New(errs.Transient, "not yet")
		}
		return effect(ctx, tx, e.Data.OrderID, "delivered")
	}
	second := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderConfirmed]) error {
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint("confirmed at attempt ", e.Attempt))
	}
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(first), consumer.On(second)}, Retry: quickly(2)}
	b.together(b.record(delivered("a"), 1), b.record(confirmed("a"), 2))
	last := b.record(delivered("z"), 1)
	stop := b.run(cfg)
	kafkatest.Eventually(t, "the second to wait", func() bool { return len(b.rows(`SELECT topic FROM parked_records`)) == 1 })
	stop()
	// A new process learns the one schema, and the registry goes before it needs the other.
	b.codec = newCodecWithoutCache(b)
	b.together(last)
	b.run(cfg)
	b.awaitEffects(1)
	b.registry.SetDown(true)
	mended.Store(true)
	if diff := cmp.Diff([]string{"z delivered", "a delivered"}, b.awaitEffects(2)); diff != "" {
		t.Errorf("effects while the registry is down (-want +got):\n%s", diff)
	}
	kafkatest.Eventually(t, "the second to be the head", func() bool {
		return slices.Equal(b.rows(`SELECT event_type || ' ' || attempts FROM parked_keys`), []string{"OrderConfirmed 0"})
	})
	b.registry.SetDown(false)
	if got := b.awaitEffects(3); got[2] != "a confirmed at attempt 1" {
		t.Errorf("effects %v", got)
	}
	b.awaitNothingParked()
}

// TestAStrangersSecondFailureStopsNoKey: rubbish that is resubmitted and fails again is
// open again; the key's events that waited behind it go on.
func TestAStrangersSecondFailureStopsNoKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	bad := b.record(delivered("a"), 7)
	bad.Headers = nil
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(onDelivered)}}
	stop := b.run(cfg)
	b.together(bad)
	s := retry.New(group, b.outbox)
	id := b.letters(s, retry.StatusOpen, 1)[0].ID
	stop()
	if _, err := s.Resubmit(t.Context(), b.pool, id, "ada", "", false); err != nil {
		t.Fatal(err)
	}
	b.first(events.RetryTopic(events.TopicOrderEvents, group)) // it is the head of the key
	b.together(b.record(delivered("a"), 1), b.record(delivered("a"), 2))
	b.run(cfg)
	b.awaitEffects(2)
	b.awaitNothingParked()
	if l := b.letters(s, retry.StatusOpen, 1)[0]; l.ID != id || l.Attempts != 2 || l.Parks {
		t.Errorf("dead letter %+v", l)
	}
}

// TestRubbishOfAParkedKeyWaitsForNoOne: it has no place in the key's order.
func TestRubbishOfAParkedKeyWaitsForNoOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		return errs.New(errs.Hopeless, "no use")
	}
	bad := b.record(delivered("a"), 7)
	bad.Headers = nil
	b.together(b.record(delivered("a"), 1), bad, b.record(delivered("a"), 2))
	reg := prometheus.NewRegistry()
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Registerer: reg})
	kafkatest.Eventually(t, "three records", func() bool { return counter(t, reg, "eventshop_consumer_records_total") == 3 })
	b.letters(retry.New(group, b.outbox), retry.StatusOpen, 2)
	if got := b.parkedBehind("a"); !slices.Equal(got, []int64{2}) {
		t.Errorf("versions %v wait, want 2", got)
	}
}

// TestALargeRecordIsTriedAgainWhole, from attempt to attempt: beside the retry's headers it
// does not fit on the topic.
func TestALargeRecordIsTriedAgainWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	large := events.OrderConfirmed{OrderID: "a", TrackingID: strings.Repeat("t", 1_041_000), OccurredAt: time.Now().UTC()}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderConfirmed]) error {
		if e.Attempt < 3 {
			return errors.New("not this time")
		}
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(len(e.Data.TrackingID)))
	}
	b.together(b.record(large, 1))
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(5)})
	if diff := cmp.Diff([]string{"a 1041000"}, b.awaitEffects(1)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	b.awaitNothingParked()
	if got := b.rows(`SELECT coalesce(length(payload), 0)::text FROM outbox WHERE topic LIKE '%.retry'`); !slices.Equal(got, []string{"0", "0"}) {
		t.Errorf("retry records of %v bytes, want two without their payload", got)
	}
}
