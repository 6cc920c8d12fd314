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
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
)

// begin starts a consumer. tell asks it to stop and returns at once. end stops it and waits until
// it has ended.
func (f *fixture) begin(cfg consumer.Config) (tell func(), end func()) {
	f.t.Helper()
	cfg.Group, cfg.Brokers, cfg.Pool, cfg.Outbox = group, f.brokers, f.pool, f.outbox
	cfg.Types, cfg.Decode, cfg.Encodable = f.codec.Types(), f.codec.Decode, f.codec.Encodable
	c, err := consumer.New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
	f.t.Cleanup(end)
	return cancel, end
}

// TestAStopLetsTheBatchInHandFinish: the effects and offsets of the current batch are committed.
func TestAStopLetsTheBatchInHandFinish(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	inside := newPoint()
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Data.ParcelID == "a" {
			inside.stop(ctx)
		}
		return effect(ctx, tx, e.Data.ParcelID, "delivered")
	}
	f.together(f.record(collected("a"), 1), f.record(collected("b"), 1))
	tell, end := f.begin(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}})
	inside.await(t)
	tell()
	inside.goOn()
	end()
	if diff := cmp.Diff([]string{"a delivered", "b delivered"}, f.effects()); diff != "" {
		t.Errorf("effects after the stop (-want +got):\n%s", diff)
	}
}

// TestABatchThatAStopCutsOffSpendsNoAttempt: the grace period ends before the batch does.
func TestABatchThatAStopCutsOffSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	inside := newPoint() // left only at the end of the grace period
	endless := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Data.ParcelID == "x" {
			return errors.New("not this time") // a failure that the batch would store
		}
		inside.stop(ctx)
		return context.Cause(ctx)
	}
	f.together(f.record(collected("x"), 1), f.record(collected("a"), 1))
	tell, end := f.begin(consumer.Config{
		Subscriptions: []consumer.Subscription{on(endless)}, Retry: quickly(1), StopGrace: 50 * time.Millisecond,
	})
	inside.await(t)
	tell()
	end()
	if n := len(f.rows(`SELECT topic FROM outbox UNION ALL SELECT event_type FROM inbox UNION ALL SELECT status FROM dead_letters`)); n != 0 {
		t.Errorf("%d rows of a batch that was cut off, want none", n)
	}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.Attempt))
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(1)})
	if diff := cmp.Diff([]string{"x 1", "a 1"}, f.awaitEffects(2)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// TestReadyWaitsForTheGroup: a member without partitions does no work.
func TestReadyWaitsForTheGroup(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	admitted := make(chan struct{})
	f.cluster.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		f.cluster.KeepControl()
		select {
		case <-admitted:
			return nil, nil, false
		default:
			return nil, errors.New("not yet"), true
		}
	})
	f.together(f.record(collected("a"), 1))
	c := f.start(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}})
	kafkatest.Eventually(t, "it to wait for the group", func() bool {
		err := c.Ready(t.Context())
		if err == nil {
			t.Fatal("it is ready without its share")
		}
		return strings.Contains(err.Error(), "waiting for the consumer group")
	})
	close(admitted)
	f.awaitEffects(1)
	kafkatest.Eventually(t, "it to be ready", func() bool { return c.Ready(t.Context()) == nil })
}

// TestBatchesGrowAgainBehindAFailureAtTheCommit: the consumer has found the failing record one by
// one before.
func TestBatchesGrowAgainBehindAFailureAtTheCommit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, sql := range []string{
		`CREATE TABLE unknown (parcel_id text)`, `INSERT INTO unknown VALUES ('x')`,
		`CREATE FUNCTION check_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF EXISTS (SELECT FROM unknown u WHERE u.parcel_id = NEW.parcel_id) THEN RAISE EXCEPTION 'unknown' USING ERRCODE = '23514'; END IF; RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER check_it AFTER INSERT ON effects DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_it()`,
	} {
		if _, err := f.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		var id string
		if err := tx.QueryRow(ctx, `SELECT pg_current_xact_id()::text`).Scan(&id); err != nil {
			return err
		}
		return effect(ctx, tx, e.Data.ParcelID, id)
	}
	records := []string{"x"}
	for i := range 80 {
		records = append(records, fmt.Sprint("o", i))
	}
	produce(t, f, map[string]int32{}, records...)
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(1)})
	inOne := map[string]int{}
	for _, e := range f.awaitEffects(80) {
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

// TestWhatIsCommittedWakesTheRelay: the relay publishes without waiting for its next poll, whether
// a new record, its retry record, or its retry's handler wrote to the outbox.
func TestWhatIsCommittedWakesTheRelay(t *testing.T) {
	t.Parallel()
	f := newFixtureRelayed(t, time.Hour)
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.Data.ParcelID == "b" && e.Attempt == 1 {
			return errors.New("not this time")
		}
		return f.outbox.Append(ctx, tx, outbox.Entry{Event: confirmed(e.Data.ParcelID), Version: 2, Cause: e.Cause()})
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)})
	for n, order := range []string{"a", "b"} {
		f.together(f.record(collected(order), 1))
		kafkatest.Eventually(t, "what the handler appended", func() bool {
			return len(kafkatest.ReadAll(t, f.brokers, sample.TopicParcelEvents)) == 2*(n+1)
		})
	}
}
