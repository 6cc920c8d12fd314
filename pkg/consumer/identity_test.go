package consumer_test

import (
	"context"
	"errors"
	"fmt"
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
	"eventshop.example/pkg/retry"
)

// TestARecordThatIsNoEventOfItsKeyIsNoEvent: it has no effect, parks nothing, and does not
// make the event whose id it bears look handled.
func TestARecordThatIsNoEventOfItsKeyIsNoEvent(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(r *kgo.Record){
		"another key":   func(r *kgo.Record) { r.Key = []byte("b") },
		"no key":        func(r *kgo.Record) { r.Key = nil },
		"the empty key": func(r *kgo.Record) { r.Key = []byte{} },
		"another topic": func(r *kgo.Record) { r.Topic = events.TopicPaymentEvents },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			good := b.record(delivered("a"), 1)
			bad := *good
			bad.Headers = append([]kgo.RecordHeader(nil), good.Headers...)
			spoil(&bad)
			b.together(&bad)
			reg := prometheus.NewRegistry()
			payments := consumer.On(func(context.Context, pgx.Tx, consumer.Event[events.PaymentFailed]) error { return nil })
			b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(onDelivered), payments}, Registerer: reg})
			s := retry.New(group, b.outbox)
			l := b.letters(s, retry.StatusOpen, 1)[0]
			if l.Parks || l.Class != "hopeless" || len(b.effects()) != 0 || len(b.rows(`SELECT topic FROM parked_keys`)) != 0 {
				t.Errorf("dead letter %+v, effects %v", l, b.effects())
			}
			b.together(good, b.record(delivered("a"), 2), b.record(delivered("b"), 1))
			if diff := cmp.Diff([]string{"a delivered", "a delivered", "b delivered"}, b.awaitEffects(3)); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			if n := counter(t, reg, "eventshop_consumer_records_total", "outcome", "duplicate"); n != 0 {
				t.Errorf("%v duplicates, want none", n)
			}
		})
	}
}

// TestAnEventOfNoAggregateIsNoEvent: its empty key is that of every record without one.
func TestAnEventOfNoAggregateIsNoEvent(t *testing.T) {
	t.Parallel()
	for name, key := range map[string][]byte{"no key": nil, "the empty key": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := b.record(delivered(""), 1)
			r.Key = key
			setHeader(r, events.HeaderSubject, "a")
			b.together(r, b.record(delivered("b"), 1))
			b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(onDelivered)}})
			l := b.letters(retry.New(group, b.outbox), retry.StatusOpen, 1)[0]
			if diff := cmp.Diff([]string{"b delivered"}, b.awaitEffects(1)); diff != "" || l.Parks {
				t.Errorf("parks %v, effects (-want +got):\n%s", l.Parks, diff)
			}
		})
	}
}

// TestAWrongIdentityWithoutAKeyParksNothing: the empty key is no aggregate's.
func TestAWrongIdentityWithoutAKeyParksNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.record(delivered(""), 1)
	r.Key = nil
	setHeader(r, events.HeaderAggregateVersion, "0")
	b.together(r)
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(onDelivered)}})
	if l := b.letters(retry.New(group, b.outbox), retry.StatusOpen, 1)[0]; l.Parks || len(b.rows(`SELECT topic FROM parked_keys`)) != 0 {
		t.Errorf("dead letter %+v parks %v", l, b.rows(`SELECT topic FROM parked_keys`))
	}
}

func setHeader(r *kgo.Record, name, value string) {
	for i := range r.Headers {
		if r.Headers[i].Key == name {
			r.Headers[i].Value = []byte(value)
		}
	}
}

// TestAnUndecodableRecordDoesNotMakeItsEventLookHandled: the sender sends the event again,
// whole. Its turn is behind the decision about the broken one.
func TestAnUndecodableRecordDoesNotMakeItsEventLookHandled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	good := b.record(delivered("a"), 1)
	bad := *good
	bad.Value = bad.Value[:len(bad.Value)-3]
	b.together(&bad, good, good)
	reg := prometheus.NewRegistry()
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(onDelivered)}, Registerer: reg})
	kafkatest.Eventually(t, "three records", func() bool { return counter(t, reg, "eventshop_consumer_records_total") == 3 })
	if n := len(b.parkedBehind("a")); n != 1 || len(b.effects()) != 0 {
		t.Errorf("%d records wait, want one; effects %v", n, b.effects())
	}
	b.discardAll(retry.New(group, b.outbox))
	if diff := cmp.Diff([]string{"a delivered"}, b.awaitEffects(1)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	b.awaitNothingParked()
}

// TestARepairedRecordHasNoSecondEffect: the event it was meant to be came another way. It
// is told a duplicate, whether it is its key's head or waits behind one, and no call is
// made for it.
func TestARepairedRecordHasNoSecondEffect(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ waits, calls bool }{
		"head":                {false, false},
		"head that calls":     {false, true},
		"follower":            {true, false},
		"follower that calls": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			var calls atomic.Int32
			var mended atomic.Bool
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
				if e.AggregateVersion == 9 && !mended.Load() {
					return errors.New("a bug")
				}
				return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
			}
			sub := consumer.On(handle)
			if tc.calls {
				sub = consumer.OnCall(func(_ context.Context, e consumer.Event[events.OrderDelivered]) (bool, error) {
					if e.AggregateVersion == 1 {
						calls.Add(1)
					}
					return true, nil
				}, func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered], _ bool) error {
					return handle(ctx, tx, e)
				})
			}
			good := b.record(delivered("a"), 1)
			bad := *good
			bad.Headers = nil
			b.run(consumer.Config{Subscriptions: []consumer.Subscription{sub}, Retry: quickly(1)})
			kafkatest.Produce(t, b.brokers, &bad, good)
			b.awaitEffects(1)
			s := retry.New(group, b.outbox)
			rubbish := b.letters(s, retry.StatusOpen, 1)[0].ID
			var head uuid.UUID
			if tc.waits {
				kafkatest.Produce(t, b.brokers, b.record(delivered("a"), 9))
				for _, l := range b.letters(s, retry.StatusOpen, 2) {
					if l.ID != rubbish {
						head = l.ID
					}
				}
			}
			if _, err := s.Edit(t.Context(), b.pool, rubbish, "ada", retry.Edit{Headers: kafkatest.Headers(good)}, false); err != nil {
				t.Fatal(err)
			}
			if done, err := s.Resubmit(t.Context(), b.pool, rubbish, "ada", "", false); err != nil || done.Waits != tc.waits {
				t.Fatalf("%+v, %v", done, err)
			}
			want := []string{"a 1"}
			mended.Store(true)
			if tc.waits {
				want = append(want, "a 9")
				if _, err := s.Resubmit(t.Context(), b.pool, head, "ada", "", false); err != nil {
					t.Fatal(err)
				}
			}
			b.letters(s, retry.StatusOpen, 0)
			b.letters(s, retry.StatusResubmitted, 0)
			b.awaitNothingParked()
			if diff := cmp.Diff(want, b.effects()); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			if got := b.rows(`SELECT detail FROM dead_letter_actions WHERE dead_letter = $1 AND action = 'resolved'`, rubbish); len(got) != 1 || got[0] != "duplicate" {
				t.Errorf("it was resolved as %v, want as a duplicate", got)
			}
			if n := calls.Load(); tc.calls && n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
		})
	}
}

// TestAnEventThatCameTwiceWhileItsKeyWasParkedIsParkedOnce: what waits is received, so a
// redelivery does not queue it again.
func TestAnEventThatCameTwiceWhileItsKeyWasParkedIsParkedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var mended atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.AggregateVersion == 1 && !mended.Load() {
			return errs.New(errs.Hopeless, "a bug")
		}
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
	}
	first, second := b.record(delivered("a"), 1), b.record(delivered("a"), 2)
	reg := prometheus.NewRegistry()
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Registerer: reg})
	b.together(first, second, second, first)
	b.together(second, first)
	kafkatest.Eventually(t, "six records", func() bool { return counter(t, reg, "eventshop_consumer_records_total") == 6 })
	if n := counter(t, reg, "eventshop_consumer_records_total", "outcome", "duplicate"); n != 4 {
		t.Errorf("%v duplicates, want 4", n)
	}
	mended.Store(true)
	s := retry.New(group, b.outbox)
	if _, err := s.Resubmit(t.Context(), b.pool, b.letters(s, retry.StatusOpen, 1)[0].ID, "ada", "", false); err != nil {
		t.Fatal(err)
	}
	b.awaitEffects(2)
	b.awaitNothingParked()
	if diff := cmp.Diff([]string{"a 1", "a 2"}, b.effects()); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// TestARepairedFollowerHasNoSecondEffect: it waited undecodable behind another, and its event
// was sent again, whole, behind it.
func TestARepairedFollowerHasNoSecondEffect(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.AggregateVersion == 1 {
			return errs.New(errs.Hopeless, "no use")
		}
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.AggregateVersion))
	}
	good := b.record(delivered("a"), 2)
	bad := *good
	bad.Value = bad.Value[:len(bad.Value)-3]
	b.together(b.record(delivered("a"), 1), &bad, good)
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}})
	s := retry.New(group, b.outbox)
	b.letters(s, retry.StatusOpen, 1)
	b.discardAll(s)
	var id uuid.UUID
	kafkatest.Eventually(t, "the broken one to be given up", func() bool {
		l := b.letters(s, retry.StatusOpen, 1)[0]
		id = l.ID
		return l.Offset == 1
	})
	if _, err := s.Edit(t.Context(), b.pool, id, "ada", retry.Edit{Value: &good.Value}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resubmit(t.Context(), b.pool, id, "ada", "", false); err != nil {
		t.Fatal(err)
	}
	b.awaitNothingParked()
	if diff := cmp.Diff([]string{"a 2"}, b.effects()); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}
