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
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/retry"
)

// called subscribes to ParcelCollected with a call. The call's answer is the effect.
func called(call func(ctx context.Context, e consumer.Event[sample.ParcelCollected]) (string, error)) consumer.Subscription {
	return onCall(call, func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected], answer string) error {
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion, answer))
	})
}

// TestNothingIsHandledWithoutItsCall: a record's key is parked when the consumer looks, so no call
// is made. The key is free when the transaction decides.
func TestNothingIsHandledWithoutItsCall(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	inside := newPoint()
	call := func(ctx context.Context, e consumer.Event[sample.ParcelCollected]) (string, error) {
		switch {
		case e.Data.ParcelID == "a" && e.AggregateVersion == 1:
			return "", errs.New(errs.Hopeless, "no use")
		case e.Data.ParcelID == "b":
			inside.stop(ctx) // calls come after the look
		}
		return " called", nil
	}
	sub := called(call)
	s := retry.New(group, f.outbox)
	stop := f.run(consumer.Config{Subscriptions: []consumer.Subscription{sub}})
	f.together(f.record(collected("a"), 1))
	id := f.letters(s, retry.StatusOpen, 1)[0].ID
	stop()
	f.together(f.record(collected("b"), 1), f.record(collected("a"), 2)) // the second waits for the first's answer
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{sub}})
	inside.await(t)
	if done, err := s.Discard(t.Context(), f.pool, id, "ada", "not needed", false); err != nil || done.Followers != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	inside.goOn()
	got := f.awaitEffects(2)
	slices.Sort(got)
	if diff := cmp.Diff([]string{"a 2 called", "b 1 called"}, got); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// TestAnAnswerIsKept: it is kept where the transaction fails for reasons of its own. A decision that
// has to wait drops it. A record whose key was parked in between is handled as its key's head, with a
// call of its own.
func TestAnAnswerIsKept(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"the database fails": "a 1 answer 1", "the decision waits": "a 1 answer 2", "parked in between": "a 1 answer 2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			s := retry.New(group, f.outbox)
			var calls, tries atomic.Int32
			var letter atomic.Value
			call := func(context.Context, consumer.Event[sample.ParcelCollected]) (string, error) {
				return fmt.Sprint(" answer ", calls.Add(1)), nil
			}
			park := func(ctx context.Context, other pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
				id, err := s.Bury(ctx, other, retry.Letter{
					Record: retry.Record{Topic: e.Topic, Key: []byte("a"), Time: time.Now()}, InboxID: uuid.Must(uuid.NewV7()), Parks: true,
				})
				letter.Store(id)
				return err
			}
			sub := onCall(call, func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected], answer string) error {
				if tries.Add(1) <= 2 {
					var err error
					switch {
					case name == "the database fails":
						return raise(ctx, tx, "53100")
					case tries.Load() > 1:
						return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion, answer))
					case name == "parked in between":
						err = postgres.InTx(ctx, f.pool, func(other pgx.Tx) error { return park(ctx, other, e) })
					}
					return errs.New(errs.Transient, "not now; %v", err)
				}
				return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion, answer))
			})
			f.together(f.record(collected("a"), 1))
			f.run(consumer.Config{Subscriptions: []consumer.Subscription{sub}})
			if name == "parked in between" {
				kafkatest.Eventually(t, "the record to wait", func() bool { return len(f.rows(`SELECT topic FROM parked_records`)) == 1 })
				if _, err := s.Discard(t.Context(), f.pool, letter.Load().(uuid.UUID), "ada", "not needed", false); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff([]string{want}, f.awaitEffects(1)); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
		})
	}
}

// TestASlowCallStopsItsPartitionOnly: while a head awaits its answer, records of other partitions are
// handled, and calls of the records behind the head are made. The stop of the consumer waits for the
// answer and commits what it makes possible.
func TestASlowCallStopsItsPartitionOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	slow := newPoint()
	var behind atomic.Int32
	call := func(ctx context.Context, e consumer.Event[sample.ParcelCollected]) (string, error) {
		switch e.Data.ParcelID {
		case "slow":
			slow.stop(ctx)
		case "behind":
			behind.Add(1)
		}
		return " called", nil
	}
	labelling := on(func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelLabelled]) error {
		return effect(ctx, tx, e.Data.ParcelID, "confirmed")
	})
	tell, end := f.begin(consumer.Config{Subscriptions: []consumer.Subscription{called(call), labelling}, StopGrace: time.Minute})
	f.place(onPartition(0, f.record(collected("slow"), 1)), onPartition(0, f.record(collected("behind"), 1)), onPartition(0, f.record(confirmed("plain"), 1)))
	slow.await(t)
	kafkatest.Eventually(t, "the call of the record behind it", func() bool { return behind.Load() == 1 })
	for n := range 3 {
		f.place(onPartition(1, f.record(collected(fmt.Sprint("called ", n)), 1)), onPartition(2, f.record(confirmed(fmt.Sprint("other ", n)), 1)))
		f.awaitEffects(2*n + 2)
	}
	if got := f.effects(); slices.ContainsFunc(got, func(e string) bool {
		return strings.HasPrefix(e, "slow") || strings.HasPrefix(e, "behind") || strings.HasPrefix(e, "plain")
	}) {
		t.Errorf("effects while the head awaits its answer: %v", got)
	}
	tell()
	slow.goOn()
	end()
	got := f.effects()
	if len(got) != 9 || !slices.Equal(got[6:], []string{"slow 1 called", "behind 1 called", "plain confirmed"}) {
		t.Errorf("effects %v", got)
	}
	if n := behind.Load(); n != 1 {
		t.Errorf("%d calls of the record behind, want 1", n)
	}
}

// joined is a model whose keys need two events, from two topics, and then a call. Its Look is counted.
func joined(t *testing.T, f *fixture, looks *atomic.Int32) []consumer.Subscription {
	type input struct{ what, answer string }
	m := written(f.outbox, func(string) {})
	j := &reaction.Model[string, input]{
		Look: func(ctx context.Context, q postgres.Querier, keys []string) (map[string]string, error) {
			looks.Add(1)
			return m.Look(ctx, q, keys)
		},
		Load: func(ctx context.Context, tx pgx.Tx, steps []reaction.Step[input]) (reaction.Set[string], error) {
			keys := reaction.Keys(steps)
			for _, key := range keys {
				if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext($1))`, key); err != nil {
					return nil, err
				}
			}
			states, err := m.Look(ctx, tx, keys)
			return &effects{written: states}, err
		},
		Decide: func(state string, s reaction.Step[input]) (reaction.Decision[string], error) {
			if state != "" && s.Input.answer == "" {
				t.Errorf("%s of %s is decided without the answer of its call, in the state %q", s.Input.what, s.Key, state)
			}
			return reaction.Decision[string]{State: state + s.Input.what + s.Input.answer, Changed: true}, nil
		},
	}
	due := func(state string) consumer.Call[string] {
		if state == "" {
			return nil
		}
		return func(context.Context) (string, error) { return "!", nil }
	}
	return []consumer.Subscription{
		consumer.OnCall(j, func(state string, e consumer.Event[sample.ParcelCollected]) consumer.Call[string] { return due(state) },
			func(e consumer.Event[sample.ParcelCollected], answer string) input { return input{"collected", answer} }),
		consumer.OnCall(j, func(state string, e consumer.Event[sample.LockersReserved]) consumer.Call[string] { return due(state) },
			func(e consumer.Event[sample.LockersReserved], answer string) input { return input{"reserved", answer} }),
	}
}

// TestACallThatBecomesDueIsMade: which of a key's two records needs the call depends on which of them is
// committed first, here or by another member. No record is decided about without its call, and no
// partition waits: the shortest wait is an hour.
func TestACallThatBecomesDueIsMade(t *testing.T) {
	t.Parallel()
	const keys = 120
	f := newFixture(t)
	var looks atomic.Int32
	cfg := consumer.Config{Subscriptions: joined(t, f, &looks), Backoff: consumer.Backoff{Base: time.Hour, Max: 2 * time.Hour}}
	var collectedFirst, reservedFirst []*kgo.Record
	for i := range keys {
		key := fmt.Sprint("p-", i)
		collectedFirst = append(collectedFirst, f.record(collected(key), 1))
		reservedFirst = append(reservedFirst, f.record(sample.LockersReserved{ParcelID: key, OccurredAt: time.Now().UTC()}, 1))
	}
	slices.Reverse(reservedFirst)
	f.together(append(collectedFirst, reservedFirst...)...)
	f.run(cfg)
	f.run(cfg)
	f.awaitEffects(2 * keys)
	want := []string{fmt.Sprint(keys)}
	if got := f.rows(`SELECT count(*)::text FROM (SELECT FROM effects GROUP BY parcel_id HAVING string_agg(what, ' ' ORDER BY n) IN ('collected reserved!', 'reserved collected!')) k`); !slices.Equal(got, want) {
		t.Errorf("%v keys have one call, want %v: %v", got, want, f.effects())
	}
}

// TestOneLookForManyCalls: the states of all records that may need a call are loaded together.
func TestOneLookForManyCalls(t *testing.T) {
	t.Parallel()
	const keys = 200
	f := newFixture(t)
	var looks atomic.Int32
	var records []*kgo.Record
	for i := range keys {
		records = append(records, f.record(collected(fmt.Sprint("p-", i)), 1))
	}
	f.together(records...)
	f.run(consumer.Config{Subscriptions: joined(t, f, &looks)})
	f.awaitEffects(keys)
	if n := looks.Load(); n > keys/10 {
		t.Errorf("%d looks for %d records", n, keys)
	}
}

// TestACallThatWaitedForItsTurnIsLookedAtAgain: the record's call became needless while it waited
// behind a slow one.
func TestACallThatWaitedForItsTurnIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	slow := newPoint()
	var calls, looks atomic.Int32
	m := written(f.outbox, func(string) {})
	look := m.Look
	m.Look = func(ctx context.Context, q postgres.Querier, keys []string) (map[string]string, error) {
		defer looks.Add(1)
		return look(ctx, q, keys)
	}
	m.Decide = func(state string, s reaction.Step[string]) (reaction.Decision[string], error) {
		return reaction.Decision[string]{State: state + s.Input, Changed: true}, nil
	}
	sub := consumer.OnCall(m, func(state string, e consumer.Event[sample.ParcelCollected]) consumer.Call[string] {
		if state != "" {
			return nil
		}
		return func(ctx context.Context) (string, error) {
			calls.Add(1)
			if e.Data.ParcelID == "slow" {
				slow.stop(ctx)
			}
			return " called", nil
		}
	}, func(e consumer.Event[sample.ParcelCollected], answer string) string { return e.Data.ParcelID + answer })
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{sub}, CallConcurrency: 1})
	f.place(onPartition(0, f.record(collected("slow"), 1)))
	slow.await(t)
	f.place(onPartition(1, f.record(collected("late"), 1)))
	kafkatest.Eventually(t, "the look for the other record", func() bool { return looks.Load() == 2 })
	looked := time.Now()
	kafkatest.Eventually(t, "what it saw to be stale", func() bool { return time.Since(looked) > 1100*time.Millisecond })
	if err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error { return effect(t.Context(), tx, "late", "by another writer; ") }); err != nil {
		t.Fatal(err)
	}
	slow.goOn()
	got := f.awaitEffects(3)
	slices.Sort(got)
	if diff := cmp.Diff([]string{"late by another writer; ", "late late", "slow slow called"}, got); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// TestASkippedRecordsAnswerIsOfNoUse: an operator has a record skipped while its second call is in flight.
// The answer finds an empty queue, and the consumer goes on.
func TestASkippedRecordsAnswerIsOfNoUse(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	second := newPoint()
	var calls atomic.Int32
	call := func(ctx context.Context, e consumer.Event[sample.ParcelCollected]) (string, error) {
		if e.Data.ParcelID != "stuck" {
			return " called", nil
		}
		if calls.Add(1) > 1 {
			second.stop(ctx)
		}
		return "", errs.New(errs.Transient, "not now")
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{called(call)}})
	f.place(onPartition(0, f.record(collected("stuck"), 1)))
	second.await(t)
	s := retry.New(group, f.outbox)
	if _, err := s.Skip(t.Context(), f.pool, retry.Place{Topic: sample.TopicParcelEvents}, "ada", "no use"); err != nil {
		t.Fatal(err)
	}
	f.place(onPartition(1, f.record(collected("other"), 1))) // a turn of the loop
	kafkatest.Eventually(t, "the record to be skipped", func() bool {
		return slices.Equal(f.skips(s), []string{"parcel.events/0/0 ada no use skipped"})
	})
	second.goOn()
	f.place(onPartition(0, f.record(collected("next"), 1)))
	if got := f.awaitEffects(2); !slices.Equal(got, []string{"other 1 called", "next 1 called"}) {
		t.Errorf("effects %v", got)
	}
}

// TestNoCallIsMadeForWhatIsNoHead: a retry record that had its turn is delivered again.
func TestNoCallIsMadeForWhatIsNoHead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var calls atomic.Int32
	call := func(_ context.Context, e consumer.Event[sample.ParcelCollected]) (string, error) {
		calls.Add(1)
		if e.Attempt == 1 {
			return "", errors.New("not this time")
		}
		return " called", nil
	}
	reg := prometheus.NewRegistry()
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{called(call)}, Retry: quickly(5), Registerer: reg})
	kafkatest.Produce(t, f.brokers, f.record(collected("a"), 1))
	f.awaitEffects(1)
	f.awaitNothingParked()
	sent := f.first(event.RetryTopic(sample.TopicParcelEvents, group))
	kafkatest.Produce(t, f.brokers, clone(sent), clone(sent))
	kafkatest.Eventually(t, "the copies to be found stale", func() bool {
		return counter(t, reg, "consumer_records_total", "outcome", "stale") == 2
	})
	if n := calls.Load(); n != 2 || len(f.effects()) != 1 {
		t.Errorf("%d calls, want 2; effects %v", n, f.effects())
	}
}

// TestACallThatHasToWaitSpendsNoAttempt covers a new record, a head and a follower.
func TestACallThatHasToWaitSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var mu sync.Mutex
	runs := map[string][]int{}
	own := map[string]int{"head 1": 1, "front 1": 1}
	call := func(_ context.Context, e consumer.Event[sample.ParcelCollected]) (string, error) {
		id := fmt.Sprint(e.Data.ParcelID, " ", e.AggregateVersion)
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
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{called(call)}, Retry: quickly(2)})
	f.together(f.record(collected("head"), 1), f.record(collected("front"), 1), f.record(collected("front"), 2), f.record(collected("new"), 1))
	got := f.awaitEffects(4)
	slices.Sort(got)
	want := []string{"front 1 at attempt 2", "front 2 at attempt 1", "head 1 at attempt 2", "new 1 at attempt 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	f.awaitNothingParked()
}

// TestWhatIsBeforeARecordThatWaitsIsCommitted: offsets are committed up to the record that waits
// and no further. Its wait does not start again.
func TestWhatIsBeforeARecordThatWaitsIsCommitted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var tries atomic.Int32
	call := func(_ context.Context, e consumer.Event[sample.ParcelCollected]) (string, error) {
		if e.Data.ParcelID == "a" {
			tries.Add(1)
			return "", errs.New(errs.Transient, "open: %w", &busyError{time.Hour})
		}
		return " called", nil
	}
	produce(t, f, map[string]int32{"a": 0, "b": 0, "c": 1}, "b", "b2", "a", "b", "c")
	stop := f.run(consumer.Config{Subscriptions: []consumer.Subscription{called(call)}})
	f.awaitEffects(3)
	for n := range 3 { // turns of the loop in which the record is not due
		produce(t, f, map[string]int32{"c": 1}, "c")
		f.awaitEffects(4 + n)
	}
	stop()
	if n := tries.Load(); n != 1 {
		t.Errorf("%d tries of what was to be tried in an hour, want 1", n)
	}
	committed, err := kadm.NewClient(kafkatest.NewClient(t, f.brokers)).FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := committed.Lookup(sample.TopicParcelEvents, 0); o.At != 2 {
		t.Errorf("committed up to %d, want 2: the record that waits", o.At)
	}
}

// TestAFollowerThatCannotBeDecodedNowWaits: the registry is down and the follower's schema is not
// cached. The follower becomes the head, and is handled when the registry is back.
func TestAFollowerThatCannotBeDecodedNowWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var mended atomic.Bool
	first := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Data.ParcelID == "a" && !mended.Load() {
			if e.Attempt == 1 {
				return errors.New("not this time")
			}
			return errs.New(errs.Transient, "not yet")
		}
		return effect(ctx, tx, e.Data.ParcelID, "delivered")
	}
	second := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelLabelled]) error {
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint("confirmed at attempt ", e.Attempt))
	}
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{on(first), on(second)}, Retry: quickly(2)}
	f.together(f.record(collected("a"), 1), f.record(confirmed("a"), 2))
	last := f.record(collected("z"), 1)
	stop := f.run(cfg)
	kafkatest.Eventually(t, "the second to wait", func() bool { return len(f.rows(`SELECT topic FROM parked_records`)) == 1 })
	stop()
	// A new process looks up one schema, and the registry goes down before the process needs the
	// other.
	f.codec = newCodecWithoutCache(f)
	f.together(last)
	f.run(cfg)
	f.awaitEffects(1)
	f.registry.SetDown(true)
	mended.Store(true)
	if diff := cmp.Diff([]string{"z delivered", "a delivered"}, f.awaitEffects(2)); diff != "" {
		t.Errorf("effects while the registry is down (-want +got):\n%s", diff)
	}
	kafkatest.Eventually(t, "the second to be the head", func() bool {
		return slices.Equal(f.rows(`SELECT event_type || ' ' || attempts FROM parked_keys`), []string{"ParcelLabelled 0"})
	})
	f.registry.SetDown(false)
	if got := f.awaitEffects(3); got[2] != "a confirmed at attempt 1" {
		t.Errorf("effects %v", got)
	}
	f.awaitNothingParked()
}

// TestAStrangersSecondFailureStopsNoKey: a record that is no event is resubmitted and fails again.
// It is open again, and the key's events that waited behind it go on.
func TestAStrangersSecondFailureStopsNoKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	bad := f.record(collected("a"), 7)
	bad.Headers = nil
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}}
	stop := f.run(cfg)
	f.together(bad)
	s := retry.New(group, f.outbox)
	id := f.letters(s, retry.StatusOpen, 1)[0].ID
	stop()
	if _, err := s.Resubmit(t.Context(), f.pool, id, "ada", "", false); err != nil {
		t.Fatal(err)
	}
	f.first(event.RetryTopic(sample.TopicParcelEvents, group)) // it is the head of the key
	f.together(f.record(collected("a"), 1), f.record(collected("a"), 2))
	f.run(cfg)
	f.awaitEffects(2)
	f.awaitNothingParked()
	if l := f.letters(s, retry.StatusOpen, 1)[0]; l.ID != id || l.Attempts != 2 || l.Parks {
		t.Errorf("dead letter %+v", l)
	}
}

// TestRubbishOfAParkedKeyWaitsForNoOne: an undecodable record has no place in the key's order.
func TestPoisonOfAParkedKeyWaitsForNoOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		return errs.New(errs.Hopeless, "no use")
	}
	bad := f.record(collected("a"), 7)
	bad.Headers = nil
	f.together(f.record(collected("a"), 1), bad, f.record(collected("a"), 2))
	reg := prometheus.NewRegistry()
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Registerer: reg})
	kafkatest.Eventually(t, "three records", func() bool { return counter(t, reg, "consumer_records_total") == 3 })
	f.letters(retry.New(group, f.outbox), retry.StatusOpen, 2)
	if got := f.parkedBehind("a"); !slices.Equal(got, []int64{2}) {
		t.Errorf("versions %v wait, want 2", got)
	}
}

// TestALargeRecordIsTriedAgainWhole: a record that does not fit on the topic beside the retry's
// headers keeps its payload from attempt to attempt.
func TestALargeRecordIsTriedAgainWhole(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	large := sample.ParcelLabelled{ParcelID: "a", LabelID: strings.Repeat("t", 1_041_000), OccurredAt: time.Now().UTC()}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelLabelled]) error {
		if e.Attempt < 3 {
			return errors.New("not this time")
		}
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(len(e.Data.LabelID)))
	}
	f.together(f.record(large, 1))
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(5)})
	if diff := cmp.Diff([]string{"a 1041000"}, f.awaitEffects(1)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	f.awaitNothingParked()
	if got := f.rows(`SELECT coalesce(length(payload), 0)::text FROM outbox WHERE topic LIKE '%.retry'`); !slices.Equal(got, []string{"0", "0"}) {
		t.Errorf("retry records of %v bytes, want two without their payload", got)
	}
}
