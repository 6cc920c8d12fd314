package relay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/admin"
	"eventshop.example/pkg/outbox/outboxtest"
)

// bounded is a relay that does not run. The test takes its steps.
type bounded struct {
	*fixture
	*Relay
}

func newBounded(t *testing.T, f *fixture) bounded {
	t.Helper()
	return bounded{f, New(f.Pool, f.Out, Config{Lease: time.Hour})}
}

// step takes a step of the bound that is due, and returns the least bound of all shards.
func (b bounded) step(t *testing.T) int64 {
	t.Helper()
	if b.bounding.round == nil {
		b.bounding.began = time.Time{}
	}
	if err := b.boundStep(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	return b.least()
}

func (b bounded) least() int64 {
	all := b.flight.currentBound().shards
	least := all[0]
	for _, one := range all {
		least = min(least, one)
	}
	return least
}

// reads returns how many rows a read returns. The relay leads all shards.
func (b bounded) reads(t *testing.T) int {
	t.Helper()
	shards, _, err := b.table.claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.flight.setLeases(shards, time.Now(), time.Now().Add(time.Hour))
	records, err := b.table.read(t.Context(), b.flight.view(time.Now(), 1000), 1000, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return len(records)
}

func (b bounded) expect(t *testing.T, want int64, when string) {
	t.Helper()
	if got := b.step(t); got != want {
		t.Errorf("%s: the bound is %d, want %d", when, got, want)
	}
}

// literalInsert is how a process of the release before appends.
const literalInsert = `INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, key, payload, ce_specversion, ce_source, ce_time, ce_aggregateversion)
	VALUES (gen_random_uuid(), 0, 'Sample', 'a', 'Happened', 'sample.events', 'a', 'x', '1.0', '/test', '2026-03-01T12:00:00.000000Z', 1)`

// The bound passes published rows and the numbers of rows that were rolled back. It stops at the
// least row that waits, and waits for a writer that may have drawn a lower number.
func TestTheBoundWaitsForWritersOfThisDatabase(t *testing.T) {
	t.Parallel()
	f := newLogicalFixture(t) // one role, and prepared transactions
	b := newBounded(t, f)
	b.expect(t, 1, "of an empty table")
	f.Append(t, "a", "b", "c")
	b.expect(t, 1, "with three rows that wait")
	f.Publish(t, `seq < 3`)
	b.expect(t, 3, "with two of them published")
	f.Publish(t, "")
	b.expect(t, 4, "with all of them published")

	gone := f.Begin(t)
	f.Insert(t, gone, "d") // seq 4
	if err := gone.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.expect(t, 5, "with a row that was rolled back")

	for name, insert := range map[string]func(tx pgx.Tx){
		"a writer": func(tx pgx.Tx) { f.Insert(t, tx, "late") },
		"a writer of the release before": func(tx pgx.Tx) {
			if _, err := tx.Exec(t.Context(), literalInsert); err != nil {
				t.Fatal(err)
			}
		},
	} {
		before := b.step(t)
		late := f.Begin(t)
		insert(late)
		f.Append(t, "e")
		f.Publish(t, "")
		for range 3 {
			b.expect(t, before, name+" is open")
		}
		outboxtest.Commit(t, late)
		b.expect(t, before, name+" has committed, and its row waits")
		f.Publish(t, "")
		b.expect(t, before+2, name+"'s row is published")
	}
}

// A writer becomes a prepared transaction, which has another id and belongs to no session.
func TestTheBoundWaitsForPreparedTransactions(t *testing.T) {
	t.Parallel()
	f := newLogicalFixture(t)
	b := newBounded(t, f)
	conn, err := f.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var before int64
	for _, prepareFirst := range []bool{true, false} {
		before = b.step(t)
		exec(`BEGIN`)
		exec(literalInsert)
		if prepareFirst {
			exec(`PREPARE TRANSACTION 'late'`)
		}
		f.Append(t, "e")
		f.Publish(t, "")
		b.expect(t, before, "the writer is open")
		if !prepareFirst {
			exec(`PREPARE TRANSACTION 'late'`)
		}
		for range 3 {
			b.expect(t, before, "the writer is prepared")
		}
		exec(`COMMIT PREPARED 'late'`)
		b.expect(t, before, "the writer has committed")
		if n := b.reads(t); n != 1 {
			t.Errorf("%d rows read, want that of the prepared transaction", n)
		}
		f.Publish(t, "")
		b.expect(t, before+2, "its row is published")
	}
}

// The databases of a test's server are copies of one template, so their tables have the same ids.
func TestTheBoundDoesNotWaitForAnotherDatabase(t *testing.T) {
	t.Parallel()
	f, other := newFixture(t, nil), newFixture(t, nil)
	b := newBounded(t, f)
	open := other.Begin(t)
	other.Insert(t, open, "a")
	f.Append(t, "a")
	f.Publish(t, "")
	b.expect(t, 2, "while a writer of another database is open")
}

// Rows with old numbers become visible. A relay that has been frozen since before does not know.
func TestRepublishingResetsTheBound(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	b := newBounded(t, f)
	f.Append(t, outboxtest.Keys(20, 5)...)
	f.Publish(t, "")
	b.expect(t, 21, "with all published")
	if n := b.reads(t); n != 0 {
		t.Errorf("%d rows read, want none", n)
	}
	f.Exec(t, `UPDATE outbox_lease SET holder = NULL, expires_at = '-infinity'`)
	if n, err := f.admin().Republish(t.Context(), admin.Selection{}); err != nil || n != 20 {
		t.Fatalf("%d rows, %v", n, err)
	}
	if n := b.reads(t); n != 20 || b.least() != 21 {
		t.Errorf("%d rows read, want all 20 although the bound is %d", n, b.least())
	}
	b.expect(t, 1, "after it")
}

// The server's crash undoes what had not reached the disk: removals, and the sequence's numbers.
func TestACrashResetsTheBound(t *testing.T) {
	t.Parallel()
	f := newLogicalFixture(t)
	b := newBounded(t, f)
	f.Append(t, outboxtest.Keys(20, 5)...)
	entries := f.entries(t)
	f.Publish(t, "")
	b.expect(t, 21, "with all published")
	f.Crash(t)
	for _, e := range entries { // as if their removal had been lost
		f.Exec(t, `INSERT INTO outbox_queue (seq, id, shard, raw, captured) VALUES ($1, $2, $3, false, true)`, e.seq, e.id, e.shard)
	}
	if n := b.reads(t); n != 20 {
		t.Errorf("%d rows read after the crash, want all 20", n)
	}
	b.expect(t, 1, "after the crash")

	// A round that began before a crash ends with no bound.
	f.Publish(t, "")
	all := 1 + f.lastSeq(t)
	b.expect(t, all, "with all published again")
	late := f.Begin(t)
	f.Insert(t, late, "late")
	b.expect(t, all, "while a writer is open")
	f.Crash(t)
	b.expect(t, 0, "when the server crashed in between")
	b.expect(t, 1+f.lastSeq(t), "in the next round")
}

func (f *fixture) lastSeq(t *testing.T) (seq int64) {
	t.Helper()
	if err := f.Pool.QueryRow(t.Context(), `SELECT last_value FROM outbox_seq_seq`).Scan(&seq); err != nil {
		t.Fatal(err)
	}
	return seq
}

// Operators who set the sequence back, or give it a cache, lose no row.
func TestASequenceThatBoundsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	b := newBounded(t, f)
	f.Append(t, outboxtest.Keys(20, 5)...)
	f.Publish(t, "")
	b.expect(t, 21, "with all published")
	owner := f.Owner(t)
	if _, err := owner.Exec(t.Context(), `DELETE FROM outbox; ALTER SEQUENCE outbox_seq_seq RESTART`); err != nil {
		t.Fatal(err)
	}
	f.Append(t, "a")
	b.expect(t, 1, "when the sequence begins again")
	if _, err := owner.Exec(t.Context(), `ALTER SEQUENCE outbox_seq_seq CACHE 10`); err != nil {
		t.Fatal(err)
	}
	b.bounding.began = time.Time{}
	if err := b.boundStep(t.Context(), time.Now()); err == nil || b.least() != 0 {
		t.Errorf("with a cache: %v, bound %d", err, b.least())
	}
	if n := b.reads(t); n != 1 {
		t.Errorf("%d rows read", n)
	}
}

// Many writers commit, roll back and overtake each other while the relay computes one bound after
// the other. A bound that is too high loses a row for ever.
func TestNoRowIsBelowTheBound(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	r := f.start(t, Config{PollEvery: time.Millisecond}, func(r *Relay) { r.boundTick, r.boundAfter = time.Millisecond, 1 })
	const each, most = 150, 6
	versions := make([]int64, most)
	var writers sync.WaitGroup
	for w := range most {
		random := rand.New(rand.NewPCG(uint64(w), 1))
		writers.Go(func() {
			for range each {
				if err := f.appendOrRollBack(t.Context(), random, fmt.Sprintf("w%d", w), &versions[w]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	f.awaitPublished(t)
	if b := r.flight.currentBound(); b.requeues == 0 {
		t.Error("the relay has never had a bound")
	}
	got := outboxtest.Versions(kafkatest.ReadAll(t, f.brokers, testTopic.Name))
	for w := range most {
		all := got[fmt.Sprintf("w%d", w)]
		if int64(len(all)) != versions[w] || !slices.IsSorted(all) {
			t.Errorf("writer %d: versions %v, want 1 to %d", w, all, versions[w])
		}
	}
}

// appendOrRollBack appends the next version of a key in a transaction that stays open for some round
// trips.
func (f *fixture) appendOrRollBack(ctx context.Context, random *rand.Rand, key string, version *int64) error {
	tx, err := f.Pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it may be committed
	entry := outbox.Entry{Event: outboxtest.Happened{Key: key}, Version: *version + 1}
	if err := f.Out.Append(ctx, tx, entry); err != nil {
		return err
	}
	for range random.IntN(30) {
		if _, err := tx.Exec(ctx, `SELECT 1`); err != nil {
			return err
		}
	}
	if random.IntN(4) == 0 {
		return nil
	}
	*version++
	return tx.Commit(ctx)
}
