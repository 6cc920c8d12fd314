package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
)

// eitherWay runs a test with a group that stores receipts, and with one that stores positions.
func eitherWay(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	t.Parallel()
	for name, positions := range map[string]bool{"receipts": false, "positions": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.positions = positions
			test(t, f)
		})
	}
}

// newPositioned returns the fixture of a group that stores positions.
func newPositioned(t *testing.T) *fixture {
	t.Helper()
	t.Parallel()
	f := newFixture(t)
	f.positions = true
	return f
}

// positioned returns every position that is not of an empty partition, as TOPIC/PARTITION/OFFSET.
func (f *fixture) positioned() []string {
	f.t.Helper()
	return f.rows(`SELECT concat_ws('/', topic, topic_partition, next_offset) FROM consumer_positions ORDER BY 1`)
}

// again starts a second group in Kafka that is the same group in the database: it reads every record
// from the beginning. It returns when it has handled n records.
func (f *fixture) again(cfg consumer.Config, n int) (outcomes map[string]float64) {
	f.t.Helper()
	reg := prometheus.NewRegistry()
	cfg = elsewhere(cfg)
	cfg.Registerer = reg
	stop := f.run(cfg)
	defer stop()
	kafkatest.Eventually(f.t, "all records again", func() bool { return counter(f.t, reg, "consumer_records_total") >= float64(n) })
	outcomes = map[string]float64{}
	for _, outcome := range []string{"handled", "duplicate", "ignored", "parked", "retrying", "dead_letter", "skipped"} {
		if n := counter(f.t, reg, "consumer_records_total", "outcome", outcome); n > 0 {
			outcomes[outcome] = n
		}
	}
	return outcomes
}

// facts subscribes to ParcelMoved with a model that recognises an event by its label: it adds a row
// only for a new one. A label that begins with "bad" fails.
func facts(fails *atomic.Bool) consumer.Subscription {
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelMoved]) error {
		if fails.Load() && strings.HasPrefix(e.Data.LabelID, "bad") {
			return errors.New("a bug")
		}
		_, err := tx.Exec(ctx, `INSERT INTO effects (parcel_id, what)
			SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM effects WHERE parcel_id = $1 AND what = $2)`, e.Data.ParcelID, e.Data.LabelID)
		return err
	}
	return on(handle)
}

func fact(f *fixture, parcel, label string, version int64) *kgo.Record {
	return f.record(sample.ParcelMoved{ParcelID: parcel, LabelID: label}, version)
}

// TestAPositionStandsForReceipts: a crash between the commit of the transaction and that of the
// offsets makes the records come again. They are below the position, and no row of the inbox is
// needed to know that.
func TestAPositionStandsForReceipts(t *testing.T) {
	f := newPositioned(t)
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}}
	var records []*kgo.Record
	for i := range 40 {
		records = append(records, f.record(collected(fmt.Sprint("p-", i)), 1))
	}
	records = append(records, f.record(confirmed("p-1"), 2)) // in no subscription
	kafkatest.Produce(t, f.brokers, records...)
	stop := f.run(cfg)
	f.awaitEffects(40)
	kafkatest.Eventually(t, "positions behind every record", func() bool {
		got := f.rows(`SELECT sum(next_offset)::text FROM consumer_positions`)
		return len(got) == 1 && got[0] == fmt.Sprint(len(records))
	})
	stop()
	if diff := cmp.Diff(map[string]float64{"duplicate": 40, "ignored": 1}, f.again(cfg, len(records))); diff != "" {
		t.Errorf("outcomes of the second reading (-want +got):\n%s", diff)
	}
	if got := f.effects(); len(got) != 40 {
		t.Errorf("%d effects, want 40", len(got))
	}
	if got := f.rows(`SELECT message_id::text FROM inbox`); len(got) != 0 {
		t.Errorf("%d inbox rows, want none", len(got))
	}
}

// TestPositionsHaveAConstantNumberOfStatements: a batch of 500 has as many as a batch of one.
func TestPositionsHaveAConstantNumberOfStatements(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 500} {
		f := newFixture(t)
		f.positions = true
		var wire tap
		settings := f.pool.Config().Copy()
		settings.ConnConfig.DialFunc = wire.dial(settings.ConnConfig.DialFunc)
		tapped, err := pgxpool.NewWithConfig(t.Context(), settings)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(tapped.Close)
		var m moves
		f.together(f.moving(n, func(int) string { return "good" })...)
		own := f.pool
		f.pool = tapped
		stop := f.run(consumer.Config{Subscriptions: []consumer.Subscription{m.subscription()}, MaxBatch: n})
		f.pool = own
		f.awaitEffects(n)
		stop()
		if loaded, _ := m.diary(); !slices.Equal(loaded, []int{n}) {
			t.Fatalf("batches of %v, want one of %d", loaded, n)
		}
		// BEGIN, positions, whether there are receipts (in a queue's first batch), parked keys, records
		// given up, the model's table, COMMIT.
		if got := wire.transaction("consumer_positions"); len(got) != 7 {
			t.Errorf("a batch of %d has %d statements, want 7:\n%s", n, len(got), strings.Join(got, "\n"))
		}
	}
}

// TestAnEventAtSeveralOffsets: each copy is handed to the model, which recognises it. A copy of an
// event that failed is a duplicate, because what becomes of the event is decided once.
func TestAnEventAtSeveralOffsets(t *testing.T) {
	f := newPositioned(t)
	var fails atomic.Bool
	fails.Store(true)
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{facts(&fails)}, Retry: quickly(1)})
	good, bad := fact(f, "a", "good", 1), fact(f, "b", "bad", 1)
	f.together(good, bad, good)
	f.awaitEffects(1)
	s := retry.New(group, f.outbox)
	letter := f.letters(s, retry.StatusOpen, 1)[0].ID
	f.together(good, bad)
	f.together(fact(f, "a", "last", 2))
	f.awaitEffects(2)
	fails.Store(false)
	if done, err := s.Discard(t.Context(), f.pool, letter, "ada", "not needed", false); err != nil || done.Followers != 0 {
		t.Fatalf("%+v, %v; want no follower", done, err)
	}
	f.together(bad, fact(f, "b", "last", 2))
	f.awaitEffects(3)
	if diff := cmp.Diff([]string{"a good", "a last", "b last"}, f.effects()); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	f.awaitNothingParked()
}

// TestARepairedCopyHasNoSecondEffect: a broken record is repaired to an event that has arrived as
// another record. The model recognises it.
func TestARepairedCopyHasNoSecondEffect(t *testing.T) {
	f := newPositioned(t)
	var fails atomic.Bool
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{facts(&fails)}, Retry: quickly(1)})
	good := fact(f, "a", "good", 1)
	broken := *good
	broken.Headers = nil
	f.together(&broken, good)
	f.awaitEffects(1)
	s := retry.New(group, f.outbox)
	letter := f.letters(s, retry.StatusOpen, 1)[0].ID
	if _, err := s.Edit(t.Context(), f.pool, letter, "ada", retry.Edit{Headers: kafkatest.Headers(good)}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resubmit(t.Context(), f.pool, letter, "ada", "", false); err != nil {
		t.Fatal(err)
	}
	f.letters(s, retry.StatusResolved, 1)
	f.awaitNothingParked()
	if diff := cmp.Diff([]string{"a good"}, f.effects()); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// TestFollowersOfAPositionedGroup: the records behind a failed one wait, in order, and are handled
// with it. A second reading of all of them has no effect.
func TestFollowersOfAPositionedGroup(t *testing.T) {
	f := newPositioned(t)
	var mended atomic.Bool
	handle := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if e.AggregateVersion == 1 && e.Data.ParcelID == "a" && !mended.Load() {
			return errors.New("a bug")
		}
		return effect(ctx, tx, e.Data.ParcelID, fmt.Sprint(e.AggregateVersion))
	}
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{on(handle)}, Retry: quickly(2)}
	var records []*kgo.Record
	for v := range int64(4) {
		records = append(records, f.record(collected("a"), v+1), f.record(collected("b"), v+1))
	}
	f.together(records...)
	stop := f.run(cfg)
	f.awaitEffects(4)
	s := retry.New(group, f.outbox)
	letter := f.letters(s, retry.StatusOpen, 1)[0].ID
	if diff := cmp.Diff([]int64{2, 3, 4}, f.parkedBehind("a")); diff != "" {
		t.Errorf("parked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{"duplicate": 8}, f.again(cfg, 8)); diff != "" {
		t.Errorf("outcomes while they wait (-want +got):\n%s", diff)
	}
	mended.Store(true)
	if _, err := s.Resubmit(t.Context(), f.pool, letter, "ada", "", false); err != nil {
		t.Fatal(err)
	}
	want := []string{"b 1", "b 2", "b 3", "b 4", "a 1", "a 2", "a 3", "a 4"}
	if diff := cmp.Diff(want, f.awaitEffects(8)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	f.awaitNothingParked()
	stop()
	if got := f.rows(`SELECT count(*)::text FROM inbox`); got[0] != "4" {
		t.Errorf("%s inbox rows, want one for each record that failed or waited", got[0])
	}
}

// TestAnUpgradeToPositions: the release before has left receipts, and a group's offset that is
// behind them, as after a crash. Nothing that has a receipt has a second effect, and nothing else is
// left out. Then the receipts are pruned, and the positions are enough.
func TestAnUpgradeToPositions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}, MaxBatch: 2}
	var records []*kgo.Record
	for i := range 9 {
		records = append(records, f.record(collected(fmt.Sprint("p-", i)), 1))
	}
	f.together(records[:7]...)
	stop := f.run(cfg)
	f.awaitEffects(7)
	stop()
	offsets := kadm.Offsets{}
	offsets.AddOffset(sample.TopicParcelEvents, 0, 3, -1)
	if err := kadm.NewClient(kafkatest.NewClient(t, f.brokers)).CommitAllOffsets(t.Context(), group, offsets); err != nil {
		t.Fatal(err)
	}
	f.positions = true
	f.together(records[7:]...)
	reg := prometheus.NewRegistry()
	cfg.Registerer = reg
	stop = f.run(cfg)
	f.awaitEffects(9)
	stop()
	if n := counter(t, reg, "consumer_records_total", "outcome", "duplicate"); n != 4 {
		t.Errorf("%v duplicates, want the four that had been handled", n)
	}
	if diff := cmp.Diff([]string{sample.TopicParcelEvents + "/0/9"}, f.positioned()); diff != "" {
		t.Errorf("positions (-want +got):\n%s", diff)
	}
	f.exec(`TRUNCATE inbox`)
	cfg.Registerer = nil
	if diff := cmp.Diff(map[string]float64{"duplicate": 9}, f.again(cfg, 9)); diff != "" {
		t.Errorf("outcomes without receipts (-want +got):\n%s", diff)
	}
	if got := f.effects(); len(got) != 9 {
		t.Errorf("effects %v, want nine", got)
	}
}

// TestThePositionDecidesWhereToGoOn: a restored backup is behind the group's offset in Kafka. The
// records in between are handled again, in order, before new ones.
func TestThePositionDecidesWhereToGoOn(t *testing.T) {
	f := newPositioned(t)
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}}
	var records []*kgo.Record
	for i := range 6 {
		records = append(records, f.record(collected(fmt.Sprint("p-", i)), 1))
	}
	f.together(records[:5]...)
	stop := f.run(cfg)
	f.awaitEffects(5)
	stop()
	f.exec(`DELETE FROM effects WHERE n > 2`)
	f.exec(`UPDATE consumer_positions SET next_offset = 2`)
	f.run(cfg)
	f.together(records[5])
	want := []string{"p-0 delivered", "p-1 delivered", "p-2 delivered", "p-3 delivered", "p-4 delivered", "p-5 delivered"}
	if diff := cmp.Diff(want, f.awaitEffects(6)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{sample.TopicParcelEvents + "/0/6"}, f.positioned()); diff != "" {
		t.Errorf("positions (-want +got):\n%s", diff)
	}
}

// TestThePositionDecidesWithoutNewRecords: the records between a restored backup and the group's offset are
// handled again although no record comes that would show that they are missing.
func TestThePositionDecidesWithoutNewRecords(t *testing.T) {
	f := newPositioned(t)
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}}
	f.together(f.record(collected("a"), 1), f.record(collected("b"), 1), f.record(collected("c"), 1))
	stop := f.run(cfg)
	f.awaitEffects(3)
	stop()
	f.exec(`DELETE FROM effects WHERE n > 1`)
	f.exec(`UPDATE consumer_positions SET next_offset = 1`)
	f.run(cfg)
	if diff := cmp.Diff([]string{"a delivered", "b delivered", "c delivered"}, f.awaitEffects(3)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}

// TestAPositionBelowTheLogsStart: the records at the position are gone, by retention. The first
// record that exists is the next one.
func TestAPositionBelowTheLogsStart(t *testing.T) {
	f := newPositioned(t)
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}}
	f.together(f.record(collected("a"), 1), f.record(collected("b"), 1), f.record(collected("c"), 1))
	stop := f.run(cfg)
	f.awaitEffects(3)
	stop()
	gone := kadm.Offsets{}
	gone.AddOffset(sample.TopicParcelEvents, 0, 3, -1)
	if _, err := kadm.NewClient(kafkatest.NewClient(t, f.brokers)).DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	f.exec(`UPDATE consumer_positions SET next_offset = 1`)
	f.run(cfg)
	f.together(f.record(collected("d"), 1))
	if diff := cmp.Diff("d delivered", f.awaitEffects(4)[3]); diff != "" {
		t.Errorf("effect (-want +got):\n%s", diff)
	}
}

// TestABrokerWithoutTopicIDs: a position could then be of another topic of the same name. The
// partition waits, and Ready reports why.
func TestABrokerWithoutTopicIDs(t *testing.T) {
	f := newPositioned(t)
	f.together(f.record(collected("a"), 1))
	c := f.start(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}, KgoOpts: []kgo.Opt{kgo.MaxVersions(kversion.V3_0_0())}})
	f.awaitWaiting(c, "positions need Apache Kafka 3.1 or newer")
	if got := f.effects(); len(got) != 0 {
		t.Errorf("effects %v, want none", got)
	}
}

// TestPositionsAreNotForCalls: a call is made for a record whose receipt is looked up first.
func TestPositionsAreNotForCalls(t *testing.T) {
	t.Parallel()
	call := func(context.Context, consumer.Event[sample.ParcelCollected]) (bool, error) { return true, nil }
	handle := func(context.Context, pgx.Tx, consumer.Event[sample.ParcelCollected], bool) error { return nil }
	f := newFixture(t)
	_, err := consumer.New(consumer.Config{
		Group: group, Brokers: f.brokers, Pool: f.pool, Types: f.codec.Types(), Decode: f.codec.Decode, Outbox: f.outbox,
		Subscriptions: []consumer.Subscription{onCall(call, handle)}, Positions: true,
	})
	if errs.KindOf(err) != errs.Invalid {
		t.Errorf("New returns %v, want errs.Invalid", err)
	}
}

// TestAReceiptOfAnotherProcessIsFound: a process of the release before, which stores receipts, has
// had the partition in between. The new one goes on at its position, and finds the receipts.
func TestAReceiptOfAnotherProcessIsFound(t *testing.T) {
	f := newPositioned(t)
	cfg := consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}}
	records := []*kgo.Record{f.record(collected("a"), 1), f.record(collected("b"), 1), f.record(collected("c"), 1)}
	f.together(records[0])
	stop := f.run(cfg)
	f.awaitEffects(1)
	stop()
	f.positions = false
	f.together(records[1])
	stop = f.run(cfg)
	f.awaitEffects(2)
	stop()
	f.positions = true
	f.run(cfg)
	f.together(records[2])
	if diff := cmp.Diff([]string{"a delivered", "b delivered", "c delivered"}, f.awaitEffects(3)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{sample.TopicParcelEvents + "/0/3"}, f.positioned()); diff != "" {
		t.Errorf("positions (-want +got):\n%s", diff)
	}
	some, err := inbox.Any(t.Context(), f.pool, group)
	if err != nil || !some {
		t.Errorf("the receipt is gone: %v, %v", some, err)
	}
}

// TestAFrozenOwnerMovesNothingBack: it resumes with a batch that the next owner has handled, and
// more. It has no second effect, and the position stays where the next owner left it.
func TestAFrozenOwnerMovesNothingBack(t *testing.T) {
	f := newPositioned(t)
	inside := newPoint()
	var first atomic.Bool
	frozen := func(ctx context.Context, tx pgx.Tx, e consumer.Event[sample.ParcelCollected]) error {
		if !first.Swap(true) {
			inside.stop(ctx)
			f.kill(tx) // the server has given up the session meanwhile
		}
		return effect(ctx, tx, e.Data.ParcelID, "frozen")
	}
	reg := prometheus.NewRegistry()
	f.together(f.record(collected("a"), 1), f.record(collected("b"), 1))
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{on(frozen)}, Registerer: reg})
	inside.await(t)
	var pid int
	err := f.pool.QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`).Scan(&pid)
	if err != nil {
		t.Fatal(err)
	}
	f.exec(`SELECT pg_terminate_backend($1)`, pid)
	f.together(f.record(collected("c"), 1))
	f.run(elsewhere(consumer.Config{Subscriptions: []consumer.Subscription{on(onDelivered)}}))
	f.awaitEffects(3)
	inside.goOn()
	kafkatest.Eventually(t, "the frozen owner to go on", func() bool {
		return counter(t, reg, "consumer_records_total", "outcome", "duplicate") == 3
	})
	if diff := cmp.Diff([]string{"a delivered", "b delivered", "c delivered"}, f.effects()); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{sample.TopicParcelEvents + "/0/3"}, f.positioned()); diff != "" {
		t.Errorf("positions (-want +got):\n%s", diff)
	}
}
