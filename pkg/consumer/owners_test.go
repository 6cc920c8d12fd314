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
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

// point is a place in a handler or a call where a test stops the consumer.
type point struct {
	once           sync.Once
	reached, leave chan struct{}
}

func newPoint() *point { return &point{reached: make(chan struct{}), leave: make(chan struct{})} }

// stop is called at the place. It returns when the test lets the consumer go on.
func (p *point) stop(ctx context.Context) {
	p.once.Do(func() { close(p.reached) })
	select {
	case <-p.leave:
	case <-ctx.Done():
	}
}

// await waits until the consumer has reached the place.
func (p *point) await(t *testing.T) {
	t.Helper()
	kafkatest.Eventually(t, "the consumer to reach the point", func() bool {
		select {
		case <-p.reached:
			return true
		default:
			return false
		}
	})
}

func (p *point) goOn() { close(p.leave) }

// lockAwaited reports whether a session of this database waits for another's lock.
func (f *fixture) lockAwaited() (yes bool) {
	f.t.Helper()
	err := f.pool.QueryRow(f.t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE a.datname = current_database() AND NOT l.granted)`).Scan(&yes)
	if err != nil {
		f.t.Fatal(err)
	}
	return yes
}

// elsewhere makes a consumer a second owner of all partitions: it belongs to the same group in the
// database, and to another in Kafka.
func elsewhere(cfg consumer.Config) consumer.Config {
	cfg.KgoOpts = []kgo.Opt{kgo.ConsumerGroup("elsewhere")}
	return cfg
}

// kill ends a transaction's connection, as a server crash does.
func (f *fixture) kill(tx pgx.Tx) {
	_, err := f.pool.Exec(context.WithoutCancel(f.t.Context()), `SELECT pg_terminate_backend($1)`, tx.Conn().PgConn().PID())
	if err != nil {
		f.t.Error(err)
	}
}

// TestTwoOwnersOfARetryRecordRunItOnce: a second process takes over the retry record in the middle
// of the first's attempt.
func TestTwoOwnersOfARetryRecordRunItOnce(t *testing.T) {
	t.Parallel()
	for name, dies := range map[string]bool{"the first commits": false, "the first loses its connection": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			inside := newPoint()
			var runs atomic.Int32
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
				if e.Attempt == 1 {
					return errors.New("not this time")
				}
				if runs.Add(1) == 1 {
					inside.stop(ctx)
					if dies {
						f.kill(tx)
					}
				}
				return effect(ctx, tx, e.Data.ParcelID, "delivered")
			}
			subs := []consumer.Subscription{on(handle)}
			first, second := prometheus.NewRegistry(), prometheus.NewRegistry()
			f.run(consumer.Config{Subscriptions: subs, Registerer: first})
			kafkatest.Produce(t, f.brokers, f.record(collected("a"), 1))
			inside.await(t)
			f.run(elsewhere(consumer.Config{Subscriptions: subs, Registerer: second}))
			kafkatest.Eventually(t, "the second owner to wait for the first", func() bool { return runs.Load() > 1 || f.lockAwaited() })
			if runs.Load() > 1 {
				t.Error("the second owner did not wait")
			}
			inside.goOn()
			f.awaitEffects(1)
			stale := func(reg *prometheus.Registry) float64 {
				return counter(t, reg, "consumer_records_total", "outcome", "stale")
			}
			kafkatest.Eventually(t, "the other to find it stale", func() bool { return stale(first)+stale(second) == 1 })
			if got := f.effects(); len(got) != 1 {
				t.Errorf("effects %v, want one", got)
			}
			f.awaitNothingParked()
		})
	}
}

// TestASecondOwnerSeesWhatTheFirstParked: the first owner is about to park the key when a second
// owner reads the same record and the one behind it. The second owner waits at the inbox row.
func TestASecondOwnerSeesWhatTheFirstParked(t *testing.T) {
	eitherWay(t, func(t *testing.T, f *fixture) {
		inside := newPoint()
		var tries atomic.Int32
		var mended atomic.Bool
		first := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
			if e.AggregateVersion == 1 && !mended.Load() {
				if tries.Add(1) == 1 { // in the transaction that parks its key
					inside.stop(ctx)
				}
				return errors.New("a bug")
			}
			return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
		}
		second := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
			if e.AggregateVersion == 1 && !mended.Load() {
				return errs.New(errs.Transient, "the first owner's to do")
			}
			return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
		}
		produce(t, f, map[string]int32{"a": 0}, "a")
		// No second attempt by itself: the key stays parked until it is resubmitted.
		f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(first)}, MaxBatch: 1, Retry: quickly(2)})
		inside.await(t)
		next := f.record(collected("a"), 2)
		next.Partition = 0
		if err := kafkatest.NewClient(t, f.brokers, kgo.RecordPartitioner(kgo.ManualPartitioner())).ProduceSync(t.Context(), next).FirstErr(); err != nil {
			t.Fatal(err)
		}
		f.run(elsewhere(consumer.Config{Subscriptions: []consumer.Subscription{on(second)}}))
		kafkatest.Eventually(t, "the second owner to wait at the inbox", f.lockAwaited)
		inside.goOn()
		kafkatest.Eventually(t, "the next record to wait, or to have overtaken", func() bool {
			return len(f.rows(`SELECT topic FROM parked_records`)) > 0 || len(f.effects()) > 0
		})
		mended.Store(true)
		kafkatest.Eventually(t, "both", func() bool {
			// The first record may be a dead letter, whichever owner made its last attempt.
			s := retry.New(group, f.outbox)
			open, _, err := s.List(t.Context(), f.pool, retry.Filter{Status: retry.StatusOpen})
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range open {
				if _, err := s.Resubmit(t.Context(), f.pool, l.ID, "ada", "", false); err != nil {
					t.Fatal(err)
				}
			}
			return len(f.effects()) == 2
		})
		if diff := cmp.Diff([]string{"a 1", "a 2"}, f.effects()); diff != "" {
			t.Errorf("effects (-want +got):\n%s", diff)
		}
		f.awaitNothingParked()
	})
}

// TestAKeyThatIsParkedDuringTheBatchIsFoundParked: when the transaction comes to park the key of
// the failed record, another record is the head. The failed record has to follow it.
func TestAKeyThatIsParkedDuringTheBatchIsFoundParked(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{
		"to be tried again": errors.New("a bug"),
		"to be given up":    errs.New(errs.Hopeless, "no use"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			inside := newPoint()
			var tries atomic.Int32
			var mended atomic.Bool
			handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
				if e.Data.ParcelID == "a" && !mended.Load() {
					if tries.Add(1) == 1 { // in the transaction that parks its key
						inside.stop(ctx)
					}
					return failure
				}
				return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
			}
			produce(t, f, map[string]int32{"a": 0}, "a")
			f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)})
			inside.await(t)
			// Another owner gives up a record of the key.
			s := retry.New(group, f.outbox)
			earlier := f.record(collected("a"), 9)
			var id uuid.UUID
			err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) (err error) {
				id, err = s.Bury(t.Context(), tx, retry.Letter{
					Record:  retry.Record{Topic: earlier.Topic, Key: earlier.Key, Value: earlier.Value, Headers: kafkatest.Headers(earlier)},
					InboxID: uuid.Must(uuid.NewV7()), EventType: "ParcelCollected", Parks: true,
				})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			mended.Store(true)
			inside.goOn()
			kafkatest.Eventually(t, "the record to wait behind the other", func() bool {
				return len(f.rows(`SELECT topic FROM parked_records`)) == 1
			})
			if _, err := s.Discard(t.Context(), f.pool, id, "ada", "not needed", false); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"a 1"}, f.awaitEffects(1)); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
			f.awaitNothingParked()
			if n := len(f.rows(`SELECT topic FROM outbox WHERE topic LIKE '%.retry' AND NOT headers::text LIKE '%retry_skip%'`)); n != 0 {
				t.Errorf("%d retry records of what was no head, want none", n)
			}
		})
	}
}

// TestAConnectionThatDiesInABatchLeavesNothingOfIt: the batch is repeated, once.
func TestAConnectionThatDiesInABatchLeavesNothingOfIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var died atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if err := f.outbox.Append(ctx, tx, outbox.Entry{Event: confirmed(e.Data.ParcelID), Version: 2, Cause: e.Cause()}); err != nil {
			return err
		}
		if err := effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.Attempt)); err != nil {
			return err
		}
		if e.Data.ParcelID == "c" && !died.Swap(true) {
			f.kill(tx)
			return effect(ctx, tx, e.Data.ParcelID, "by a dead connection")
		}
		return nil
	}
	produce(t, f, map[string]int32{"a": 0, "b": 0, "c": 0}, "a", "b", "c")
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}})
	if diff := cmp.Diff([]string{"a 1", "b 1", "c 1"}, f.awaitEffects(3)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	sent := f.rows(`SELECT convert_from(key, 'UTF8') FROM outbox ORDER BY seq`)
	if !slices.Equal(sent, []string{"a", "b", "c"}) {
		t.Errorf("outbox rows of %v, want one of each", sent)
	}
	if n := len(f.rows(`SELECT event_type FROM inbox`)); n != 3 {
		t.Errorf("%d inbox rows, want 3", n)
	}
}
