package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
)

func TestOpenDoesNotNeedTheServer(t *testing.T) {
	t.Parallel()
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: fmt.Sprintf("postgres://nobody@127.0.0.1:%d/none?sslmode=disable", port)})
	if err != nil {
		t.Fatalf("open a pool while the server is down: %v", err)
	}
	defer pool.Close()
	err = postgres.InTx(t.Context(), pool, func(pgx.Tx) error { return nil })
	if kind := errs.KindOf(err); kind != errs.Transient {
		t.Errorf("transaction while the server is down: kind %v of %v, want Transient", kind, err)
	}
}

func TestOpenRefusesAnUnreadableURL(t *testing.T) {
	t.Parallel()
	_, err := postgres.Open(t.Context(), postgres.Config{URL: "postgres://user:secret@host:notaport/db"})
	if kind := errs.KindOf(err); kind != errs.Invalid {
		t.Errorf("kind %v of %v, want Invalid", kind, err)
	}
}

func TestOpenSettings(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t)
	for _, tc := range []struct {
		name, suffix string
		max          int32
		want         int32
	}{
		{"default", "", 0, 8},
		{"of the URL", "&pool_max_conns=3", 0, 3},
		{"of the config", "&pool_max_conns=3", 5, 5},
	} {
		pool, err := postgres.Open(t.Context(), postgres.Config{URL: url + tc.suffix, MaxConns: tc.max})
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if got := pool.Config().MaxConns; got != tc.want {
			t.Errorf("%s: at most %d connections, want %d", tc.name, got, tc.want)
		}
	}
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url + "&application_name=lockers"})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for setting, want := range map[string]string{"application_name": "lockers", "TimeZone": "UTC", "idle_in_transaction_session_timeout": "10s"} {
		var got string
		if err := pool.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
}

func newNotes(t *testing.T) *pgxpool.Pool {
	pool := pgtest.NewDB(t)
	if _, err := pool.Exec(t.Context(), "CREATE TABLE notes (text text PRIMARY KEY CHECK (text <> ''))"); err != nil {
		t.Fatal(err)
	}
	return pool
}

func insert(ctx context.Context, q postgres.Querier, text string) error {
	_, err := q.Exec(ctx, "INSERT INTO notes VALUES ($1)", text)
	return err
}

func countNotes(t *testing.T, pool *pgxpool.Pool) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM notes").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestInTxCommits(t *testing.T) {
	t.Parallel()
	pool := newNotes(t)
	if err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error { return insert(t.Context(), tx, "kept") }); err != nil {
		t.Fatal(err)
	}
	if n := countNotes(t, pool); n != 1 {
		t.Errorf("%d notes, want 1", n)
	}
}

func TestInTxRollsBackOnError(t *testing.T) {
	t.Parallel()
	pool := newNotes(t)
	refusal := errs.New(errs.NotFound, "no such thing")
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		if err := insert(t.Context(), tx, "lost"); err != nil {
			return err
		}
		return refusal
	})
	if !errors.Is(err, refusal) || errs.KindOf(err) != errs.NotFound {
		t.Errorf("got %v, want the function's own error with its kind", err)
	}
	if n := countNotes(t, pool); n != 0 {
		t.Errorf("%d notes after the rollback, want 0", n)
	}
}

func TestInTxRollsBackOnPanic(t *testing.T) {
	t.Parallel()
	pool := newNotes(t)
	func() {
		defer func() {
			if got := recover(); got != "bug" {
				t.Errorf("recovered %v, want the panic to go through", got)
			}
		}()
		_ = postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			if err := insert(t.Context(), tx, "lost"); err != nil {
				t.Error(err)
			}
			panic("bug")
		})
	}()
	if n := countNotes(t, pool); n != 0 {
		t.Errorf("%d notes after the panic, want 0", n)
	}
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections still in use, want 0", n)
	}
}

func TestInTxRollsBackWhenTheContextEndsAndKeepsTheConnection(t *testing.T) {
	t.Parallel()
	pool := newNotes(t)
	before := backend(t, pool)
	ctx, cancel := context.WithCancel(t.Context())
	err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		err := insert(ctx, tx, "lost")
		cancel()
		return errors.Join(err, ctx.Err())
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation", err)
	}
	if n := countNotes(t, pool); n != 0 {
		t.Errorf("%d notes after the rollback, want 0", n)
	}
	if after := backend(t, pool); after != before {
		t.Errorf("the server process changed from %d to %d: the connection was lost", before, after)
	}
}

func backend(t *testing.T, pool *pgxpool.Pool) (pid int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	return pid
}
