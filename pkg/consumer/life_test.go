package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
)

// begin starts a consumer and returns how to tell it to stop, without waiting, and how to
// wait for its end.
func (b *bench) begin(cfg consumer.Config) (tell func(), end func()) {
	b.t.Helper()
	cfg.Group, cfg.Brokers, cfg.Pool, cfg.Codec, cfg.Outbox = group, b.brokers, b.pool, b.codec, b.outbox
	c, err := consumer.New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("Run: %v", err)
		}
	})
	b.t.Cleanup(end)
	return cancel, end
}

// TestAStopLetsTheBatchInHandFinish: its effects and its offsets are committed.
func TestAStopLetsTheBatchInHandFinish(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	inside := newPoint()
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.Data.OrderID == "a" {
			inside.stop(ctx)
		}
		return effect(ctx, tx, e.Data.OrderID, "delivered")
	}
	b.together(b.record(delivered("a"), 1), b.record(delivered("b"), 1))
	tell, end := b.begin(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}})
	inside.await(t)
	tell()
	inside.goOn()
	end()
	if diff := cmp.Diff([]string{"a delivered", "b delivered"}, b.effects()); diff != "" {
		t.Errorf("effects after the stop (-want +got):\n%s", diff)
	}
}

// TestABatchThatAStopCutsOffSpendsNoAttempt: the grace period is over before it is done.
func TestABatchThatAStopCutsOffSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	inside := newPoint() // never left but by the end of the grace period
	endless := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.Data.OrderID == "x" {
			return errors.New("not this time") // so that there are savepoints
		}
		inside.stop(ctx)
		return context.Cause(ctx)
	}
	b.together(b.record(delivered("x"), 1), b.record(delivered("a"), 1))
	tell, end := b.begin(consumer.Config{
		Subscriptions: []consumer.Subscription{consumer.On(endless)}, Retry: quickly(1), StopGrace: 50 * time.Millisecond,
	})
	inside.await(t)
	tell()
	end()
	if n := len(b.rows(`SELECT topic FROM outbox UNION ALL SELECT event_type FROM inbox UNION ALL SELECT status FROM dead_letters`)); n != 0 {
		t.Errorf("%d rows of a batch that was cut off, want none", n)
	}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(e.Attempt))
	}
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(1)})
	if diff := cmp.Diff([]string{"x 1", "a 1"}, b.awaitEffects(2)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// TestReadyWaitsForTheGroup: a member without its share does no work.
func TestReadyWaitsForTheGroup(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	admitted := make(chan struct{})
	b.cluster.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		select {
		case <-admitted:
			return nil, nil, false
		default:
			return nil, errors.New("not yet"), true
		}
	})
	b.together(b.record(delivered("a"), 1))
	c := b.start(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(onDelivered)}})
	kafkatest.Eventually(t, "it to wait for the group", func() bool {
		err := c.Ready(t.Context())
		if err == nil {
			t.Fatal("it is ready without its share")
		}
		return strings.Contains(err.Error(), "waiting for the consumer group")
	})
	close(admitted)
	b.awaitEffects(1)
	kafkatest.Eventually(t, "it to be ready", func() bool { return c.Ready(t.Context()) == nil })
}

// TestSavepointsOnlyWhileSomethingFails: the batch behind a failure has them, the one
// behind that has not.
func TestSavepointsOnlyWhileSomethingFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.Data.OrderID == "x" && e.Attempt == 1 {
			return errors.New("not this time")
		}
		// A row bears the id of the subtransaction that wrote it.
		var sub bool
		err := tx.QueryRow(ctx, `INSERT INTO effects (order_id) VALUES ('look') RETURNING xmin::text <> pg_current_xact_id()::xid::text`).Scan(&sub)
		if err != nil {
			return err
		}
		return effect(ctx, tx, e.Data.OrderID, fmt.Sprint(sub))
	}
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(2)})
	got := map[string]string{}
	for _, order := range []string{"before", "x", "behind", "later"} {
		b.together(b.record(delivered(order), 1))
		kafkatest.Eventually(t, order, func() bool {
			for _, e := range b.effects2() {
				if name, sub, ok := strings.Cut(e, " "); ok {
					got[name] = sub
				}
			}
			return got[order] != ""
		})
	}
	if diff := cmp.Diff(map[string]string{"before": "false", "x": "true", "behind": "true", "later": "false"}, got); diff != "" {
		t.Errorf("in a savepoint (-want +got):\n%s", diff)
	}
}

// effects2 are the effects that say something.
func (b *bench) effects2() []string {
	b.t.Helper()
	return b.rows(`SELECT order_id || ' ' || what FROM effects WHERE what IS NOT NULL ORDER BY n`)
}

// TestBatchesGrowAgainBehindAFailureAtTheCommit, which was looked for one by one.
func TestBatchesGrowAgainBehindAFailureAtTheCommit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, sql := range []string{
		`CREATE TABLE unknown (order_id text)`, `INSERT INTO unknown VALUES ('x')`,
		`CREATE FUNCTION check_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF EXISTS (SELECT FROM unknown u WHERE u.order_id = NEW.order_id) THEN RAISE EXCEPTION 'unknown' USING ERRCODE = '23514'; END IF; RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER check_it AFTER INSERT ON effects DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_it()`,
	} {
		if _, err := b.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		var id string
		if err := tx.QueryRow(ctx, `SELECT pg_current_xact_id()::text`).Scan(&id); err != nil {
			return err
		}
		return effect(ctx, tx, e.Data.OrderID, id)
	}
	records := []string{"x"}
	for i := range 80 {
		records = append(records, fmt.Sprint("o", i))
	}
	produce(t, b, map[string]int32{}, records...)
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(1)})
	inOne := map[string]int{}
	for _, e := range b.awaitEffects(80) {
		_, id, _ := strings.Cut(e, " ")
		inOne[id]++
	}
	most := 0
	for _, n := range inOne {
		most = max(most, n)
	}
	if most < 10 {
		t.Errorf("at most %d records in a transaction, want the batches to grow again", most)
	}
}

// TestWhatIsCommittedWakesTheRelay: it does not wait for the relay's next look at the table,
// be it of a new record, its retry, or what its retry appends.
func TestWhatIsCommittedWakesTheRelay(t *testing.T) {
	t.Parallel()
	b := newBenchRelayed(t, time.Hour)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if e.Data.OrderID == "b" && e.Attempt == 1 {
			return errors.New("not this time")
		}
		return b.outbox.Append(ctx, tx, outbox.Entry{Event: confirmed(e.Data.OrderID), Version: 2, Cause: e.Cause()})
	}
	b.run(consumer.Config{Subscriptions: []consumer.Subscription{consumer.On(handle)}, Retry: quickly(2)})
	for n, order := range []string{"a", "b"} {
		b.together(b.record(delivered(order), 1))
		kafkatest.Eventually(t, "what the handler appended", func() bool {
			return len(kafkatest.ReadAll(t, b.brokers, events.TopicOrderEvents)) == 2*(n+1)
		})
	}
}
