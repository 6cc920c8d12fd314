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
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
)

// raise makes the database fail a statement with a SQLSTATE.
func raise(ctx context.Context, tx pgx.Tx, state string) error {
	_, err := tx.Exec(ctx, `DO $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '`+state+`'; END $$`)
	return err
}

// TestAFaultOfTheDatabaseSpendsNoAttempt: a serialization failure, a deadlock or a timeout in a
// write is no record's fault, whether the record is new, its key's head, or the next follower.
func TestAFaultOfTheDatabaseSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"40001", "40P01", "57014", "55P03"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			var mu sync.Mutex
			attempts := map[string][]int{} // of "key version", in the order of its runs
			// How often a record fails by its own fault before it meets the database's.
			own := map[string]int{"x 1": 1, "new 1": 0, "head 1": 1, "front 1": 1, "front 2": 0}
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
				id := fmt.Sprint(e.Data.ParcelID, " ", e.AggregateVersion)
				mu.Lock()
				attempts[id] = append(attempts[id], e.Attempt)
				runs := len(attempts[id])
				faulty := slices.Contains([]string{"new 1", "head 1", "front 2"}, id)
				mu.Unlock()
				switch {
				case e.Attempt <= own[id]:
					return errors.New("its own fault")
				case faulty && runs < 5:
					return raise(ctx, tx, state)
				}
				return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
			}
			// The first record fails before the others run.
			f.together(f.record(collected("x"), 1), f.record(collected("head"), 1),
				f.record(collected("front"), 1), f.record(collected("front"), 2), f.record(collected("new"), 1))
			f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)})
			got := f.awaitEffects(5)
			slices.Sort(got)
			if diff := cmp.Diff([]string{"front 1", "front 2", "head 1", "new 1", "x 1"}, got); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			f.awaitNothingParked()
			if n := f.deadLetters(); n != 0 {
				t.Errorf("%d dead letters, want none", n)
			}
			mu.Lock()
			defer mu.Unlock()
			for id, fails := range own {
				if last := slices.Max(attempts[id]); last != fails+1 {
					t.Errorf("%s: attempts %v, want the last to be number %d", id, attempts[id], fails+1)
				}
			}
		})
	}
}

// TestACommitThatHasToWaitHoldsTheBatch: no handler failed and no record is at fault.
func TestACommitThatHasToWaitHoldsTheBatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, sql := range []string{
		`CREATE TABLE down (really boolean)`, `INSERT INTO down VALUES (true)`,
		`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF EXISTS (SELECT FROM down) THEN RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON effects DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`,
	} {
		if _, err := f.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var runs atomic.Int32
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		runs.Add(1)
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.Attempt))
	}
	f.together(f.record(collected("a"), 1), f.record(collected("b"), 1))
	c := f.start(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(1)})
	kafkatest.Eventually(t, "several tries", func() bool { return runs.Load() >= 12 })
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "batch not committed") {
		t.Errorf("ready says %v", err)
	}
	if n := f.deadLetters(); n != 0 || len(f.effects()) != 0 || len(f.rows(`SELECT event_type FROM inbox`)) != 0 {
		t.Errorf("%d dead letters, effects %v", n, f.effects())
	}
	if _, err := f.pool.Exec(t.Context(), `DELETE FROM down`); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a 1", "b 1"}, f.awaitEffects(2)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	kafkatest.Eventually(t, "it to be ready", func() bool { return c.Ready(t.Context()) == nil })
}

// TestAFollowersFailureAtTheCommitIsItsOwn: the head before it has its effect, and the consumer
// finds that the follower fails at the commit.
func TestAFollowersFailureAtTheCommitIsItsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.pool.Exec(t.Context(), `ALTER TABLE effects ADD UNIQUE (parcel_id, what) DEFERRABLE INITIALLY DEFERRED`); err != nil {
		t.Fatal(err)
	}
	var mended atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		switch {
		case e.AggregateVersion > 1:
		case e.Attempt == 1:
			return errors.New("not this time")
		case !mended.Load():
			return errs.New(errs.Transient, "not yet")
		}
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion%3)) // 4 writes the same as 1
	}
	f.together(f.record(collected("a"), 1), f.record(collected("a"), 2), f.record(collected("a"), 4), f.record(collected("a"), 6))
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(3)})
	kafkatest.Eventually(t, "the others to wait", func() bool { return len(f.rows(`SELECT topic FROM parked_records`)) == 3 })
	mended.Store(true)
	s := retry.New(group, f.outbox)
	l := f.letters(s, retry.StatusOpen, 1)[0]
	if diff := cmp.Diff([]string{"a 1", "a 2"}, f.effects()); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if l.Attempts != 3 || l.Offset != 2 {
		t.Errorf("dead letter of offset %d after %d attempts, want 2 after 3", l.Offset, l.Attempts)
	}
	f.discardAll(s)
	if diff := cmp.Diff([]string{"a 1", "a 2", "a 0"}, f.awaitEffects(3)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	f.awaitNothingParked()
}

// outage is something that handlers or calls need and that is down.
type outage struct {
	up  atomic.Bool
	met atomic.Int32 // number of times it was met
}

func (o *outage) meet(what string) error {
	if o.up.Load() {
		return nil
	}
	o.met.Add(1)
	return errs.New(errs.Transient, "%s", what)
}

// TestReadySaysWhatOfOursIsDown: Ready does not report what a call waits for. A foreign server's
// outage is no reason to take this one out of service.
func TestReadySaysWhatOfOursIsDown(t *testing.T) {
	t.Parallel()
	// Each fails by its own fault in the attempts before first.
	handles := func(first int) func(*fixture, *outage) consumer.Subscription {
		return func(_ *fixture, o *outage) consumer.Subscription {
			return on(func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
				if e.Attempt < first {
					return errors.New("not this time")
				}
				if err := o.meet("the stock is being counted"); err != nil {
					return err
				}
				return effect(ctx, tx, e.Data.ParcelID, "delivered")
			})
		}
	}
	calls := func(first int) func(*fixture, *outage) consumer.Subscription {
		return func(_ *fixture, o *outage) consumer.Subscription {
			return called(func(_ context.Context, e consumer.Event[sample.ParcelCollected]) (string, error) {
				if e.Attempt < first {
					return "", errors.New("not this time")
				}
				return "", o.meet("the bank is closed")
			})
		}
	}
	registry := func(f *fixture, _ *outage) consumer.Subscription {
		f.codec = newCodecWithoutCache(f)
		f.registry.SetDown(true)
		return on(onDelivered)
	}
	for name, tc := range map[string]struct {
		sub func(*fixture, *outage) consumer.Subscription
		say string // "" stays ready
	}{
		"a handler's":         {handles(1), "the stock is being counted"},
		"a retry's handler's": {handles(2), "the stock is being counted"},
		"a call's":            {calls(1), ""},
		"a retry's call's":    {calls(2), ""},
		"the registry's":      {registry, "decode ParcelCollected"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			var o outage
			f.together(f.record(collected("a"), 1))
			reg := prometheus.NewRegistry()
			c := f.start(consumer.Config{
				Subscriptions: []consumer.Subscription{tc.sub(f, &o)}, Registerer: reg, Retry: quickly(3),
				Backoff: consumer.Backoff{Base: 20 * time.Millisecond, Max: 50 * time.Millisecond},
			})
			kafkatest.Eventually(t, "failed tries", func() bool {
				return o.met.Load() >= 3 || counter(t, reg, "consumer_failures_total", "kind", "transient") >= 3
			})
			err := c.Ready(t.Context())
			if tc.say == "" && err != nil || tc.say != "" && (err == nil || !strings.Contains(err.Error(), tc.say)) {
				t.Errorf("ready says %v, want %q", err, tc.say)
			}
			o.up.Store(true)
			f.registry.SetDown(false)
			f.awaitEffects(1)
			kafkatest.Eventually(t, "it to be ready", func() bool { return c.Ready(t.Context()) == nil })
		})
	}
}

// sharing returns n keys whose records lie on one partition.
func sharing(n int) (keys []string) {
	p := kgo.StickyKeyPartitioner(nil).ForTopic("any")
	for i := 0; len(keys) < n; i++ {
		key := fmt.Sprint("k", i)
		if p.Partition(&kgo.Record{Key: []byte(key)}, int(event.Partitions)) == 0 {
			keys = append(keys, key)
		}
	}
	return keys
}

// committedRetries returns the offset up to which the retries are committed on partition 0.
func (f *fixture) committedRetries() int64 {
	f.t.Helper()
	all, err := kadm.NewClient(kafkatest.NewClient(f.t, f.brokers)).FetchOffsets(f.t.Context(), consumer.RetryGroup(group))
	if err != nil {
		f.t.Fatal(err)
	}
	o, ok := all.Lookup(event.RetryTopic(sample.TopicParcelEvents, group).Name, 0)
	if !ok {
		return 0
	}
	return max(o.At, 0)
}

// TestRetriesCommitUpToWhatIsUndone: a retry that waits is read again after a restart, though
// others behind it on its partition are done.
func TestRetriesCommitUpToWhatIsUndone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	keys := sharing(2)
	var mended atomic.Bool
	var waits atomic.Int32
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		switch {
		case e.Attempt == 1:
			return errors.New("not this time")
		case e.Data.ParcelID == keys[0] && !mended.Load():
			waits.Add(1)
			return errs.New(errs.Transient, "not yet")
		}
		return effect(ctx, tx, e.Data.ParcelID, "delivered")
	}
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)}
	stop := f.run(cfg)
	kafkatest.Produce(t, f.brokers, f.record(collected(keys[0]), 1))
	kafkatest.Eventually(t, "the first to wait", func() bool { return waits.Load() > 0 })
	kafkatest.Produce(t, f.brokers, f.record(collected(keys[1]), 1))
	if got := f.awaitEffects(1); got[0] != keys[1]+" delivered" {
		t.Errorf("effects %v", got)
	}
	stop()
	if at := f.committedRetries(); at != 0 {
		t.Errorf("retries are committed up to %d, and the first is undone", at)
	}
	mended.Store(true)
	f.run(cfg)
	f.awaitEffects(2)
	f.awaitNothingParked()
	kafkatest.Eventually(t, "both retries to be committed", func() bool { return f.committedRetries() == 2 })
}

// TestARetryWaitsUntilItIsDue: each wait is as long as the record's own policy requires.
func TestARetryWaitsUntilItIsDue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const wait = 300 * time.Millisecond
	var mu sync.Mutex
	ran := map[int]time.Time{} // by attempt: the first run
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		mu.Lock()
		if ran[e.Attempt].IsZero() {
			ran[e.Attempt] = time.Now()
		}
		mu.Unlock()
		if e.Attempt < 3 {
			return errors.New("not this time")
		}
		return effect(ctx, tx, e.Data.ParcelID, "delivered")
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{
		on(handle).WithRetry(consumer.Retry{Attempts: 3, Backoff: consumer.Backoff{Base: wait, Max: wait}}),
	}})
	kafkatest.Produce(t, f.brokers, f.record(collected("a"), 1))
	f.awaitEffects(1)
	mu.Lock()
	defer mu.Unlock()
	retries := kafkatest.ReadAll(t, f.brokers, event.RetryTopic(sample.TopicParcelEvents, group).Name)
	if len(retries) != 2 {
		t.Fatalf("%d retry records, want 2", len(retries))
	}
	for _, r := range retries {
		h, _, err := retry.ParseHead(group, r.Key, r.Value, kafkatest.Headers(r))
		if err != nil {
			t.Fatal(err)
		}
		if d := h.NotBefore.Sub(h.Last); d != wait {
			t.Errorf("after attempt %d it waits %s, want %s", h.Attempts, d, wait)
		}
		if ran[h.Attempts+1].Before(h.NotBefore) {
			t.Errorf("attempt %d came %s too early", h.Attempts+1, h.NotBefore.Sub(ran[h.Attempts+1]))
		}
	}
}

// TestARetryThatHasToWaitIsTriedOnce: it is not tried again at once against something that is down.
func TestARetryThatHasToWaitIsTriedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var runs atomic.Int32
	handle := func(_ context.Context, _ pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Attempt == 1 {
			return errors.New("not this time")
		}
		runs.Add(1)
		return errs.New(errs.Transient, "open: %w", &busyError{time.Hour})
	}
	f.together(f.record(collected("a"), 1))
	stop := f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)})
	kafkatest.Eventually(t, "a try", func() bool { return runs.Load() > 0 })
	stop() // the current attempt ends first
	if n := runs.Load(); n != 1 {
		t.Errorf("%d tries, want 1", n)
	}
	if got := f.rows(`SELECT state || ' ' || attempts FROM parked_keys`); !slices.Equal(got, []string{"retrying 1"}) {
		t.Errorf("its key is %v, want it to wait with one attempt spent", got)
	}
}

// TestARetryThatIsNotDueHoldsNoOtherUp: retries of other keys lie behind it on its partition.
func TestARetryThatIsNotDueHoldsNoOtherUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	keys := sharing(2)
	var runs atomic.Int32
	slow := func(_ context.Context, _ pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Attempt > 1 {
			runs.Add(1)
		}
		return errors.New("not this time")
	}
	quick := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelLabelled]) error {
		if e.Attempt == 1 {
			return errors.New("not this time")
		}
		return effect(ctx, tx, e.Data.ParcelID, "confirmed")
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{
		on(slow).WithRetry(consumer.Retry{Attempts: 2, Backoff: consumer.Backoff{Base: time.Hour, Max: time.Hour}}),
		on(quick).WithRetry(quickly(2)),
	}})
	kafkatest.Produce(t, f.brokers, f.record(collected(keys[0]), 1))
	kafkatest.Eventually(t, "the first's retry record", func() bool {
		return len(kafkatest.ReadAll(t, f.brokers, event.RetryTopic(sample.TopicParcelEvents, group).Name)) == 1
	})
	kafkatest.Produce(t, f.brokers, f.record(confirmed(keys[1]), 1))
	if diff := cmp.Diff([]string{keys[1] + " confirmed"}, f.awaitEffects(1)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if n := runs.Load(); n != 0 {
		t.Errorf("%d second attempts of what is due in an hour", n)
	}
}
