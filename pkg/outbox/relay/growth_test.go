package relay

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/outbox/internal/queue"
	"eventshop.example/pkg/outbox/outboxtest"
	"eventshop.example/pkg/postgres"
)

// pollBuffers is the most pages that a read visits which finds nothing, whatever the table has.
const pollBuffers = 20

// planned runs a statement as a connection does after its first executions, and returns its plan.
func planned(t *testing.T, f *fixture, types, sql string, args ...string) string {
	t.Helper()
	tx := f.Begin(t)
	defer tx.Rollback(t.Context()) //nolint:errcheck // it only reads
	for _, statement := range []string{queue.InOrder, "PREPARE planned (" + types + ") AS " + sql} {
		if _, err := tx.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _, _ = tx.Exec(t.Context(), `DEALLOCATE planned`) }()
	rows, err := tx.Query(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) EXECUTE planned ("+strings.Join(args, ", ")+")", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// poll returns the plan of a read, and how many pages it visited.
func (b bounded) poll(t *testing.T, query string) (plan string, buffers int) {
	t.Helper()
	from := b.flight.currentBound()
	var least []string
	for _, n := range from.shards {
		least = append(least, strconv.FormatInt(n, 10))
	}
	plan = planned(t, b.fixture, "smallint[], bigint[], bigint, uuid, bigint[], text[], text[], bytea[], int, int, uuid", query,
		`'{0,1,2,3}'`, `'{`+strings.Join(least, ",")+`}'`, strconv.FormatInt(from.requeues, 10), `'`+from.incarnation.String()+`'`,
		`'{}'`, `'{}'`, `'{}'`, `'{}'`, `250`, `1000000`, `'`+b.table.id.String()+`'`)
	// The first line with buffers is the sum.
	_, sum, _ := strings.Cut(plan, "Buffers: shared ")
	sum, _, _ = strings.Cut(sum, "\n")
	for part := range strings.FieldsSeq(sum) {
		if n, err := strconv.Atoi(part[strings.IndexByte(part, '=')+1:]); err == nil && !strings.HasPrefix(part, "dirtied") && !strings.HasPrefix(part, "written") {
			buffers += n
		}
	}
	return plan, buffers
}

func (b bounded) expectCheapPoll(t *testing.T, when, query string) {
	t.Helper()
	plan, buffers := b.poll(t, query)
	t.Logf("%s: %d pages", when, buffers)
	if buffers == 0 || buffers > pollBuffers {
		t.Errorf("%s: an empty poll visits %d pages, want at most %d\n%s", when, buffers, pollBuffers, plan)
	}
}

// fill appends rows by one statement of the server.
func (f *fixture) fill(t *testing.T, rows int) {
	t.Helper()
	f.Exec(t, `WITH appended AS (
			INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, key, payload, ce_specversion, published_at)
			SELECT gen_random_uuid(), n % 4, 'Sample', 'k', 'Happened', 'sample.events', convert_to((n % 500)::text, 'UTF8'), 'x', '1.0', 'epoch' FROM generate_series(1, $1::int) n
			RETURNING seq, id, shard
		) INSERT INTO outbox_queue (seq, id, shard, raw, captured) SELECT seq, id, shard, false, true FROM appended`, rows)
}

// The cost of a read that finds nothing grows neither with published rows nor with a backlog, nor
// while a reader's snapshot keeps what was removed.
func TestAnEmptyPollIsCheap(t *testing.T) {
	t.Parallel()
	f := newLogicalFixture(t)
	now := time.Now()
	if err := postgres.EnsurePartitions(t.Context(), f.Pool, "outbox", now.AddDate(0, 0, -8), now.AddDate(0, 0, 3)); err != nil {
		t.Fatal(err)
	}
	b := newBounded(t, f)
	lead := func() {
		t.Helper()
		if _, _, err := b.table.claim(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	lead()
	b.step(t)
	b.expectCheapPoll(t, "empty", readRows)

	reader, err := f.Pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback(t.Context()) //nolint:errcheck // it only reads
	if _, err := reader.Exec(t.Context(), `SELECT count(*) FROM outbox`); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
		t.Fatal(err)
	}
	const many = 60_000
	f.fill(t, many)
	f.Publish(t, "")
	_, without := b.poll(t, readRows)
	if without < 1000 {
		t.Errorf("with the former bound a poll visits %d pages: the snapshot keeps nothing, so this shows nothing", without)
	}
	b.step(t)
	for age := 300; age > 0; age-- { // the leases of five minutes
		f.Exec(t, `UPDATE outbox_lease SET expires_at = clock_timestamp() - interval '1 s' * $1::int, claims = claims + 1`, age)
	}
	for range 3 {
		lead()
	}
	b.expectCheapPoll(t, "with published rows and a reader's old snapshot", readRows)

	// Debezium relays: its events wait, and are not visited.
	f.fill(t, many)
	f.CreateSlot(t)
	f.Exec(t, `UPDATE outbox_mode SET mode = 'debezium', slot = 'x'`)
	lead()
	b.step(t)
	b.expectCheapPoll(t, "with a backlog of Debezium's", readRest)
}

// A plan that was made while the tables were empty is used when they are large: with the index of
// the queue, in its order, and with the keys of the days.
func TestPlansOfEmptyTables(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	now := time.Now()
	if err := postgres.EnsurePartitions(t.Context(), f.Pool, "outbox", now.AddDate(0, 0, -7), now.AddDate(0, 0, 2)); err != nil {
		t.Fatal(err)
	}
	b := newBounded(t, f)
	b.step(t)
	for name, query := range map[string]string{"readRows": readRows, "readRest": readRest} {
		plan, _ := b.poll(t, query)
		for _, no := range []string{"Seq Scan on outbox_queue", "Seq Scan on outbox_p", "Bitmap", "Hash Join", "JIT"} {
			if strings.Contains(plan, no) {
				t.Errorf("%s: %s\n%s", name, no, plan)
			}
		}
		if strings.Count(plan, "Sort Key") > 1 {
			t.Errorf("%s sorts the queue:\n%s", name, plan)
		}
	}
	entry := fmt.Sprintf(`'{%d}'`, 1)
	plan := planned(t, f, "smallint[], bigint[], bigint[]", markRows, entry, entry, `'{0}'`)
	if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "outbox_p") || !strings.Contains(plan, "outbox_queue_pkey") {
		t.Errorf("the mark reads more than its entries:\n%s", plan)
	}
	least := planned(t, f, "smallint[], bigint[], bigint, uuid, bigint", leastEntries, `'{0}'`, `'{0}'`, `0`, `'`+uuid.Nil.String()+`'`, `0`)
	if strings.Contains(least, "Seq Scan on outbox_queue") || !strings.Contains(least, "outbox_queue_pkey") {
		t.Errorf("the bound reads more than an entry:\n%s", least)
	}
}

// The figures of a large backlog are estimates, and read a part of it.
func TestBacklogOfThousands(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	b := newBounded(t, f)
	f.Append(t, outboxtest.Keys(900, 50)...)
	read := func() queue.Backlog {
		t.Helper()
		got, err := b.table.backlog(t.Context(), b.flight.currentBound())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := read(); got.Rows != 900 || got.Estimated || got.Topics[testTopic.Name] != 900 || got.Oldest <= 0 {
		t.Errorf("%+v, want exactly 900", got)
	}
	for range 4 {
		f.Append(t, outboxtest.Keys(5000, 50)...)
	}
	if got := read(); got.Rows != 20_900 || !got.Estimated || got.Topics[testTopic.Name] != 20_900 {
		t.Errorf("%+v, want 20900 as an estimate: the sample is the whole queue", got)
	}
	f.Publish(t, "")
	if got := read(); got.Rows != 0 || got.Estimated || got.Oldest != 0 {
		t.Errorf("%+v, want none", got)
	}
}
