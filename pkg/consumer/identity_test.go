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
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
)

// TestARecordThatIsNoEventOfItsKeyIsNoEvent: it has no effect, parks nothing, and does not make the
// event with its id look handled.
func TestARecordThatIsNoEventOfItsKeyIsNoEvent(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(r *kgo.Record){
		"another key":   func(r *kgo.Record) { r.Key = []byte("b") },
		"no key":        func(r *kgo.Record) { r.Key = nil },
		"the empty key": func(r *kgo.Record) { r.Key = []byte{} },
		"another topic": func(r *kgo.Record) { r.Topic = sample.TopicDoorEvents },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			good := f.record(collected("a"), 1)
			bad := *good
			bad.Headers = append([]kgo.RecordHeader(nil), good.Headers...)
			spoil(&bad)
			f.together(&bad)
			reg := prometheus.NewRegistry()
			payments := on(func(context.Context, pgx.Tx, consumer.Event[sample.DoorJammed]) error { return nil })
			f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered), payments}, Registerer: reg})
			s := retry.New(group, f.outbox)
			l := f.letters(s, retry.StatusOpen, 1)[0]
			if l.Parks || l.Class != "hopeless" || len(f.effects()) != 0 || len(f.rows(`SELECT topic FROM parked_keys`)) != 0 {
				t.Errorf("dead letter %+v, effects %v", l, f.effects())
			}
			f.together(good, f.record(collected("a"), 2), f.record(collected("b"), 1))
			if diff := cmp.Diff([]string{"a delivered", "a delivered", "b delivered"}, f.awaitEffects(3)); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			if n := counter(t, reg, "consumer_records_total", "outcome", "duplicate"); n != 0 {
				t.Errorf("%v duplicates, want none", n)
			}
		})
	}
}

// TestAnEventOfNoAggregateIsNoEvent: its empty key is that of every record without a key.
func TestAnEventOfNoAggregateIsNoEvent(t *testing.T) {
	t.Parallel()
	for name, key := range map[string][]byte{"no key": nil, "the empty key": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			r := f.record(collected(""), 1)
			r.Key = key
			setHeader(r, event.HeaderSubject, "a")
			f.together(r, f.record(collected("b"), 1))
			f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}})
			l := f.letters(retry.New(group, f.outbox), retry.StatusOpen, 1)[0]
			if diff := cmp.Diff([]string{"b delivered"}, f.awaitEffects(1)); diff != "" || l.Parks {
				t.Errorf("parks %v, effects (-want +got):\n%s", l.Parks, diff)
			}
		})
	}
}

// TestAWrongIdentityWithoutAKeyParksNothing: the empty key belongs to no aggregate.
func TestAWrongIdentityWithoutAKeyParksNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.record(collected(""), 1)
	r.Key = nil
	setHeader(r, event.HeaderAggregateVersion, "0")
	f.together(r)
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}})
	if l := f.letters(retry.New(group, f.outbox), retry.StatusOpen, 1)[0]; l.Parks || len(f.rows(`SELECT topic FROM parked_keys`)) != 0 {
		t.Errorf("dead letter %+v parks %v", l, f.rows(`SELECT topic FROM parked_keys`))
	}
}

func setHeader(r *kgo.Record, name, value string) {
	for i := range r.Headers {
		if r.Headers[i].Key == name {
			r.Headers[i].Value = []byte(value)
		}
	}
}

// TestAnUndecodableRecordDoesNotMakeItsEventLookHandled: the producer sends the event again,
// intact. It is handled after the decision about the broken one.
func TestAnUndecodableRecordDoesNotMakeItsEventLookHandled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := f.record(collected("a"), 1)
	bad := *good
	bad.Value = bad.Value[:len(bad.Value)-3]
	f.together(&bad, good, good)
	reg := prometheus.NewRegistry()
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}, Registerer: reg})
	kafkatest.Eventually(t, "three records", func() bool { return counter(t, reg, "consumer_records_total") == 3 })
	if n := len(f.parkedBehind("a")); n != 1 || len(f.effects()) != 0 {
		t.Errorf("%d records wait, want one; effects %v", n, f.effects())
	}
	f.discardAll(retry.New(group, f.outbox))
	if diff := cmp.Diff([]string{"a delivered"}, f.awaitEffects(1)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	f.awaitNothingParked()
}

// TestARepairedRecordHasNoSecondEffect: the event that it was meant to be arrived in another
// record. The repaired record counts as a duplicate, whether it is its key's head or waits behind
// one, and no call is made for it.
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
			f := newFixture(t)
			var calls atomic.Int32
			var mended atomic.Bool
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
				if e.AggregateVersion == 9 && !mended.Load() {
					return errors.New("a bug")
				}
				return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
			}
			sub := on(handle)
			if tc.calls {
				sub = onCall(func(_ context.Context, e consumer.Event[sample.ParcelCollected]) (bool, error) {
					if e.AggregateVersion == 1 {
						calls.Add(1)
					}
					return true, nil
				}, func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected], _ bool) error {
					return handle(ctx, tx, e)
				})
			}
			good := f.record(collected("a"), 1)
			bad := *good
			bad.Headers = nil
			f.run(consumer.Config{Subscriptions: []consumer.Subscription{sub}, Retry: quickly(1)})
			kafkatest.Produce(t, f.brokers, &bad, good)
			f.awaitEffects(1)
			s := retry.New(group, f.outbox)
			poison := f.letters(s, retry.StatusOpen, 1)[0].ID
			var head uuid.UUID
			if tc.waits {
				kafkatest.Produce(t, f.brokers, f.record(collected("a"), 9))
				for _, l := range f.letters(s, retry.StatusOpen, 2) {
					if l.ID != poison {
						head = l.ID
					}
				}
			}
			if _, err := s.Edit(t.Context(), f.pool, poison, "ada", retry.Edit{Headers: kafkatest.Headers(good)}, false); err != nil {
				t.Fatal(err)
			}
			if done, err := s.Resubmit(t.Context(), f.pool, poison, "ada", "", false); err != nil || done.Waits != tc.waits {
				t.Fatalf("%+v, %v", done, err)
			}
			want := []string{"a 1"}
			mended.Store(true)
			if tc.waits {
				want = append(want, "a 9")
				if _, err := s.Resubmit(t.Context(), f.pool, head, "ada", "", false); err != nil {
					t.Fatal(err)
				}
			}
			f.letters(s, retry.StatusOpen, 0)
			f.letters(s, retry.StatusResubmitted, 0)
			f.awaitNothingParked()
			if diff := cmp.Diff(want, f.effects()); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			if got := f.rows(`SELECT detail FROM dead_letter_actions WHERE dead_letter = $1 AND action = 'resolved'`, poison); len(got) != 1 || got[0] != "duplicate" {
				t.Errorf("it was resolved as %v, want as a duplicate", got)
			}
			if n := calls.Load(); tc.calls && n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
		})
	}
}

// TestAnEventThatCameTwiceWhileItsKeyWasParkedIsParkedOnce: a waiting record has its inbox row, so
// a redelivery does not queue it again.
func TestAnEventThatCameTwiceWhileItsKeyWasParkedIsParkedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var mended atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.AggregateVersion == 1 && !mended.Load() {
			return errs.New(errs.Hopeless, "a bug")
		}
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
	}
	first, second := f.record(collected("a"), 1), f.record(collected("a"), 2)
	reg := prometheus.NewRegistry()
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Registerer: reg})
	f.together(first, second, second, first)
	f.together(second, first)
	kafkatest.Eventually(t, "six records", func() bool { return counter(t, reg, "consumer_records_total") == 6 })
	if n := counter(t, reg, "consumer_records_total", "outcome", "duplicate"); n != 4 {
		t.Errorf("%v duplicates, want 4", n)
	}
	mended.Store(true)
	s := retry.New(group, f.outbox)
	if _, err := s.Resubmit(t.Context(), f.pool, f.letters(s, retry.StatusOpen, 1)[0].ID, "ada", "", false); err != nil {
		t.Fatal(err)
	}
	f.awaitEffects(2)
	f.awaitNothingParked()
	if diff := cmp.Diff([]string{"a 1", "a 2"}, f.effects()); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// TestARepairedFollowerHasNoSecondEffect: it waited undecodable behind another record, and its
// event was sent again, intact, behind it.
func TestARepairedFollowerHasNoSecondEffect(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.AggregateVersion == 1 {
			return errs.New(errs.Hopeless, "no use")
		}
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
	}
	good := f.record(collected("a"), 2)
	bad := *good
	bad.Value = bad.Value[:len(bad.Value)-3]
	f.together(f.record(collected("a"), 1), &bad, good)
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}})
	s := retry.New(group, f.outbox)
	f.letters(s, retry.StatusOpen, 1)
	f.discardAll(s)
	var id uuid.UUID
	kafkatest.Eventually(t, "the broken one to be given up", func() bool {
		l := f.letters(s, retry.StatusOpen, 1)[0]
		id = l.ID
		return l.Offset == 1
	})
	if _, err := s.Edit(t.Context(), f.pool, id, "ada", retry.Edit{Value: &good.Value}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resubmit(t.Context(), f.pool, id, "ada", "", false); err != nil {
		t.Fatal(err)
	}
	f.awaitNothingParked()
	if diff := cmp.Diff([]string{"a 2"}, f.effects()); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}
