package postgres_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// noon of the day that the tests use: one that is over by any clock.
var noon = time.Date(2024, time.March, 1, 12, 0, 0, 0, time.UTC)

// v7 returns a UUIDv7 of the instant with the other bits of fill.
func v7(t time.Time, fill uuid.UUID) uuid.UUID {
	id := fill
	bound := postgres.LowerBound(t)
	copy(id[:6], bound[:6])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

func TestLowerBoundSeparatesMilliseconds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, 1<<48-2).Draw(t, "ms"))
		fill := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "fill"))
		id, low, high := v7(at, fill), postgres.LowerBound(at), postgres.LowerBound(at.Add(time.Millisecond))
		if bytes.Compare(low[:], id[:]) > 0 || bytes.Compare(id[:], high[:]) >= 0 {
			t.Fatalf("%s of %s is not in [%s, %s)", id, at, low, high)
		}
	})
}

func newLog(t *testing.T) *pgxpool.Pool {
	comp := component("log", `
		CREATE TABLE log (id uuid NOT NULL, seq bigint GENERATED ALWAYS AS IDENTITY, done boolean NOT NULL DEFAULT false, PRIMARY KEY (id)) PARTITION BY RANGE (id);
		CREATE INDEX log_open ON log (seq) WHERE NOT done;
		CREATE TABLE log_default PARTITION OF log DEFAULT;`)
	comp.Partitioned = []postgres.Partitioned{{Table: "log", KeepIf: "NOT done"}}
	return pgtest.NewDB(t, comp)
}

func add(t *testing.T, q postgres.Querier, at time.Time, done bool) {
	t.Helper()
	if _, err := q.Exec(t.Context(), "INSERT INTO log (id, done) VALUES ($1, $2)", v7(at, uuid.New()), done); err != nil {
		t.Fatal(err)
	}
}

// rows returns the number of rows per partition.
func rows(t *testing.T, pool *pgxpool.Pool) map[string]int {
	t.Helper()
	got := map[string]int{}
	result, err := pool.Query(t.Context(), `SELECT i.inhrelid::regclass::text, (SELECT count(*) FROM log l WHERE l.tableoid = i.inhrelid)
		FROM pg_inherits i WHERE i.inhparent = 'log'::regclass`)
	if err != nil {
		t.Fatal(err)
	}
	var name string
	var n int
	if _, err := pgx.ForEachRow(result, []any{&name, &n}, func() error { got[name] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEnsurePartitionsByManyAtOnce(t *testing.T) {
	t.Parallel()
	pool := newLog(t)
	var g errgroup.Group
	for range 4 {
		g.Go(func() error { return postgres.EnsurePartitions(t.Context(), pool, "log", noon, noon.AddDate(0, 0, 2)) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	midnight := noon.Truncate(24 * time.Hour)
	add(t, pool, midnight, false)
	add(t, pool, midnight.Add(24*time.Hour-time.Millisecond), false)
	add(t, pool, midnight.Add(24*time.Hour), false)
	add(t, pool, midnight.Add(-time.Millisecond), false)
	want := map[string]int{"log_p20240301": 2, "log_p20240302": 1, "log_p20240303": 0, "log_default": 1}
	if diff := cmp.Diff(want, rows(t, pool)); diff != "" {
		t.Errorf("rows per partition (-want +got):\n%s", diff)
	}
	var distinct, unique int
	if err := pool.QueryRow(t.Context(), "SELECT count(DISTINCT seq), (SELECT count(*) FROM pg_index WHERE indrelid = 'log_p20240301'::regclass) FROM log").Scan(&distinct, &unique); err != nil {
		t.Fatal(err)
	}
	if distinct != 4 || unique != 2 {
		t.Errorf("%d distinct numbers for 4 rows, %d indexes of a partition, want 4 and 2", distinct, unique)
	}
}

func TestEnsurePartitionsSkipsADayWhoseRowsAreInTheDefault(t *testing.T) {
	t.Parallel()
	pool := newLog(t)
	add(t, pool, noon, false)
	for range 2 { // every upkeep finds the same
		if err := postgres.EnsurePartitions(t.Context(), pool, "log", noon, noon.AddDate(0, 0, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]int{"log_p20240302": 0, "log_default": 1}, rows(t, pool)); diff != "" {
		t.Errorf("rows per partition (-want +got):\n%s", diff)
	}
}

func TestEnsurePartitionsDoesNotWaitForWritersOfOtherDays(t *testing.T) {
	t.Parallel()
	pool := newLog(t)
	if err := postgres.EnsurePartitions(t.Context(), pool, "log", noon, noon); err != nil {
		t.Fatal(err)
	}
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		add(t, tx, noon, false)
		return postgres.EnsurePartitions(t.Context(), pool, "log", noon, noon.AddDate(0, 0, 3))
	})
	if err != nil {
		t.Errorf("create partitions while a writer is in a transaction: %v", err)
	}
}

func TestEnsurePartitionsGivesUpBehindALongTransaction(t *testing.T) {
	t.Parallel()
	pool := newLog(t)
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		add(t, tx, noon.AddDate(0, 0, -30), false) // locks the default partition
		return postgres.EnsurePartitions(t.Context(), pool, "log", noon, noon)
	})
	if errs.KindOf(err) != errs.Transient {
		t.Errorf("got %v, want Transient", err)
	}
}

func TestDropPartitions(t *testing.T) {
	t.Parallel()
	pool := newLog(t)
	if err := postgres.EnsurePartitions(t.Context(), pool, "log", noon, noon.AddDate(0, 0, 3)); err != nil {
		t.Fatal(err)
	}
	add(t, pool, noon, true)
	add(t, pool, noon.AddDate(0, 0, 1), true)
	add(t, pool, noon.AddDate(0, 0, 1), false)
	add(t, pool, noon.AddDate(0, 0, 3), true)
	add(t, pool, noon.AddDate(0, 0, -30), true)

	// The day of the limit is not over at noon, so it stays.
	dropped, err := postgres.DropPartitions(t.Context(), pool, "log", noon.AddDate(0, 0, 3), postgres.GuardNone("NOT done"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"log_p20240301", "log_p20240303"}, dropped); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	want := map[string]int{"log_p20240302": 2, "log_p20240304": 1, "log_default": 1}
	if diff := cmp.Diff(want, rows(t, pool)); diff != "" {
		t.Errorf("rows per partition (-want +got):\n%s", diff)
	}
}

func TestDropPartitionsReportsAFailingGuard(t *testing.T) {
	t.Parallel()
	pool := newLog(t)
	if err := postgres.EnsurePartitions(t.Context(), pool, "log", noon, noon); err != nil {
		t.Fatal(err)
	}
	_, err := postgres.DropPartitions(t.Context(), pool, "log", noon.AddDate(0, 0, 9),
		func(context.Context, pgx.Tx, string) (string, error) { return "", errs.New(errs.Transient, "not now") })
	if errs.KindOf(err) != errs.Transient {
		t.Errorf("got %v, want the guard's error", err)
	}
	if _, ok := rows(t, pool)["log_p20240301"]; !ok {
		t.Error("the partition is gone although its guard failed")
	}
}
