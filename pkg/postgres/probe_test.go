package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// probeDB returns a database with a table of every kind that a probe can meet, with one row each.
func probeDB(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.NewDB(t)
	exec(t, pool, `
		CREATE TABLE plain (id int PRIMARY KEY, name text NOT NULL, twice int GENERATED ALWAYS AS (id * 2) STORED);
		CREATE TABLE numbered (n bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text);
		CREATE TABLE keyless (name text);
		CREATE TABLE split (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
		CREATE TABLE split_low PARTITION OF split FOR VALUES FROM (0) TO (10);
		CREATE TABLE split_rest PARTITION OF split DEFAULT;
		INSERT INTO plain VALUES (1, 'a');
		INSERT INTO numbered (name) VALUES ('a');
		INSERT INTO keyless VALUES ('a');
		INSERT INTO split VALUES (1, 'a'), (11, 'b');
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = TG_ARGV[0]; END $$`)
	return pool
}

func probed(ctx context.Context, pool *pgxpool.Pool) error {
	return postgres.InTx(ctx, pool, func(tx pgx.Tx) error { return postgres.Probe(ctx, tx) })
}

func TestAProbeWritesToEveryTableAndChangesNothing(t *testing.T) {
	t.Parallel()
	pool := probeDB(t)
	sum := func() (all string) {
		t.Helper()
		err := pool.QueryRow(t.Context(), `SELECT concat_ws('|',
			(SELECT string_agg(p::text, ',') FROM plain p), (SELECT string_agg(p::text, ',') FROM numbered p),
			(SELECT string_agg(p::text, ',') FROM keyless p), (SELECT string_agg(p::text, ',') FROM split p))`).Scan(&all)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := sum()
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		if err := postgres.Probe(t.Context(), tx); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `INSERT INTO keyless VALUES ('after the probe')`) // the transaction continues
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	exec(t, pool, `DELETE FROM keyless WHERE name = 'after the probe'`)
	if after := sum(); after != before {
		t.Errorf("a probe changed rows:\n%s\n%s", before, after)
	}
}

func TestAProbeFailsWhereTheEnvironmentRefusesWrites(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ fault, want string }{
		"a trigger that refuses inserts":    {`CREATE TRIGGER r BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION refuse('54000')`, "plain"},
		"one that refuses updates":          {`CREATE TRIGGER r BEFORE UPDATE ON numbered FOR EACH ROW EXECUTE FUNCTION refuse('P0001')`, "numbered"},
		"one on a partition":                {`CREATE TRIGGER r BEFORE INSERT ON split_low FOR EACH ROW EXECUTE FUNCTION refuse('XX000')`, "split"},
		"one that refuses whole statements": {`CREATE TRIGGER r BEFORE INSERT ON keyless EXECUTE FUNCTION refuse('55000')`, "keyless"},
		"a check that no row passes":        {`ALTER TABLE plain ADD CHECK (name = 'never') NOT VALID`, "plain"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := probeDB(t)
			exec(t, pool, c.fault)
			err := probed(t.Context(), pool)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("the probe says %v, want an error about %s", err, c.want)
			}
			settled := postgres.Settle(t.Context(), pool, &pgconn.PgError{Code: "54000", Message: "program limit"})
			if errs.KindOf(settled) != errs.Transient {
				t.Errorf("settled as %s (%v), want transient", errs.KindOf(settled), settled)
			}
		})
	}
}

// TestATableThatTakesNoUpdatesIsHealthy: the grants allow the owner to update the table, and the
// trigger that keeps it append-only refuses each update.
func TestATableThatTakesNoUpdatesIsHealthy(t *testing.T) {
	t.Parallel()
	pool := probeDB(t)
	exec(t, pool, `CREATE TRIGGER facts BEFORE UPDATE OR DELETE OR TRUNCATE ON plain FOR EACH STATEMENT EXECUTE FUNCTION refuse('55000')`)
	if err := probed(t.Context(), pool); err != nil {
		t.Errorf("the probe says %v", err)
	}
	// The probe still tries its inserts.
	exec(t, pool, `CREATE TRIGGER full_disk BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION refuse('53100')`)
	if err := probed(t.Context(), pool); err == nil || !strings.Contains(err.Error(), "plain") {
		t.Errorf("the probe says %v, want an error about plain", err)
	}
}

func TestInAHealthyDatabaseTheRecordIsToBlame(t *testing.T) {
	t.Parallel()
	pool := probeDB(t)
	for _, code := range []string{"54000", "22003", "23514", "P0001", "XX000"} {
		cause := &pgconn.PgError{Code: code}
		if err := postgres.Settle(t.Context(), pool, cause); errs.KindOf(err) == errs.Transient || !errors.Is(err, error(cause)) {
			t.Errorf("%s: settled as %s (%v), want it as it was", code, errs.KindOf(err), err)
		}
	}
}

// A row that another session has locked causes neither a wait nor a failure.
func TestAProbePassesLockedRowsBy(t *testing.T) {
	t.Parallel()
	pool := probeDB(t)
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT 1 FROM plain FOR UPDATE`); err != nil {
			return err
		}
		return probed(t.Context(), pool)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOnlyAnErrorOfTheServerIsInDoubt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("a bug"), false},
		{&pgconn.PgError{Code: "57P01"}, false},
		{&pgconn.PgError{Code: "54000"}, true},
		{errs.New(errs.Hopeless, "said so: %w", &pgconn.PgError{Code: "23514"}), true},
	} {
		if got := postgres.InDoubt(c.err); got != c.want {
			t.Errorf("InDoubt(%v) = %t", c.err, got)
		}
	}
}
