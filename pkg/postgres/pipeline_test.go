package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// note writes a note later, with an error that names it.
func note(ctx context.Context, tx pgx.Tx, text string) error {
	return insert(ctx, postgres.Later(tx, func(err error) error { return fmt.Errorf("note %q: %w", text, err) }), text)
}

func texts(ctx context.Context, q postgres.Querier) ([]string, error) {
	found, err := q.Query(ctx, "SELECT text FROM notes WHERE text <> $1 ORDER BY text", "none")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, pgx.RowTo[string])
}

// TestRoundTripsOfAPipeline: what waits costs no round trip, and what needs a result costs one.
func TestRoundTripsOfAPipeline(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want int
		do   func(ctx context.Context, tx pgx.Tx) error
	}{
		"nothing": {1, func(context.Context, pgx.Tx) error { return nil }},
		"writes": {1, func(ctx context.Context, tx pgx.Tx) error {
			return errors.Join(note(ctx, tx, "a"), note(ctx, tx, "b"), note(ctx, tx, "c"))
		}},
		"a row, then writes": {2, func(ctx context.Context, tx pgx.Tx) error {
			var one int
			err := tx.QueryRow(ctx, "SELECT $1::int", 1).Scan(&one)
			return errors.Join(err, note(ctx, tx, "a"), note(ctx, tx, "b"))
		}},
		"rows, then writes": {2, func(ctx context.Context, tx pgx.Tx) error {
			_, err := texts(ctx, tx)
			return errors.Join(err, note(ctx, tx, "a"), note(ctx, tx, "b"))
		}},
		"a batch, then writes": {2, func(ctx context.Context, tx pgx.Tx) error {
			var b pgx.Batch
			b.Queue("SELECT $1::int", 1)
			b.Queue("SELECT $1::text", "x")
			return errors.Join(tx.SendBatch(ctx, &b).Close(), note(ctx, tx, "a"), note(ctx, tx, "b"))
		}},
		"writes around a count": {2, func(ctx context.Context, tx pgx.Tx) error {
			err := note(ctx, tx, "a")
			tag, failed := tx.Exec(ctx, "DELETE FROM notes WHERE text = $1", "a")
			if tag.RowsAffected() != 1 {
				t.Errorf("%d rows deleted, want the one that waited before", tag.RowsAffected())
			}
			return errors.Join(err, failed, note(ctx, tx, "a"))
		}},
		"an error of the caller": {0, func(ctx context.Context, tx pgx.Tx) error {
			return errors.Join(note(ctx, tx, "a"), errs.New(errs.NotFound, "no such thing"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, trips := pgtest.RoundTrips(t, newNotes(t))
			for _, prepared := range []bool{false, true} {
				exec(t, pool, "TRUNCATE notes")
				before := trips()
				err := postgres.InPipeline(t.Context(), pool, func(tx pgx.Tx) error { return c.do(t.Context(), tx) })
				if err != nil && errs.KindOf(err) != errs.NotFound {
					t.Fatal(err)
				}
				if got := trips() - before; prepared && got != c.want {
					t.Errorf("%d round trips, want %d", got, c.want)
				}
			}
		})
	}
}

// TestAPipelineKeepsTheOrderOfItsCalls: a statement that needs its result sees what waited before it.
func TestAPipelineKeepsTheOrderOfItsCalls(t *testing.T) {
	t.Parallel()
	ctx, pool := t.Context(), newNotes(t)
	err := postgres.InPipeline(ctx, pool, func(tx pgx.Tx) error {
		sees := func(what string, want ...string) {
			t.Helper()
			if got, err := texts(ctx, tx); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %v, %v, want %v", what, got, err, want)
			}
		}
		sees("at first")
		err := note(ctx, tx, "a")
		sees("rows", "a")
		var n int
		err = errors.Join(err, note(ctx, tx, "b"), tx.QueryRow(ctx, "SELECT count(*) FROM notes").Scan(&n))
		if n != 2 {
			t.Errorf("a row: %d, want 2", n)
		}
		err = errors.Join(err, note(ctx, tx, "c"))
		_, failed := tx.Exec(ctx, "UPDATE notes SET text = 'A' WHERE text = 'a'; UPDATE notes SET text = 'C' WHERE text = 'c'")
		sees("several statements in one text", "A", "C", "b")
		err = errors.Join(err, failed, note(ctx, tx, "d"), tx.QueryRow(ctx, "SELECT count(*) FROM notes", pgx.QueryExecModeExec).Scan(&n))
		if n != 4 {
			t.Errorf("a row with an option: %d, want 4", n)
		}
		err = errors.Join(err, note(ctx, tx, "e"))
		sub, failed := tx.Begin(ctx)
		if failed != nil {
			return errors.Join(err, failed)
		}
		err = errors.Join(err, insert(ctx, postgres.Later(sub, nil), "undone"), sub.Rollback(ctx))
		sees("after a savepoint", "A", "C", "b", "d", "e")
		err = errors.Join(err, note(ctx, tx, "f"))
		copied, failed := tx.CopyFrom(ctx, pgx.Identifier{"notes"}, []string{"text"}, pgx.CopyFromRows([][]any{{"g"}}))
		if copied != 1 {
			t.Errorf("%d rows copied", copied)
		}
		err = errors.Join(err, failed, note(ctx, tx, "h"))
		_, failed = tx.Conn().Exec(ctx, "DELETE FROM notes WHERE text = 'h'")
		return errors.Join(err, failed, note(ctx, tx, "i"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := texts(ctx, pool); err != nil || strings.Join(got, "") != "ACbdefgi" {
		t.Errorf("committed %v, %v", got, err)
	}
}

// TestOutsideOfAPipelineNothingWaits: Later changes only the errors.
func TestOutsideOfAPipelineNothingWaits(t *testing.T) {
	t.Parallel()
	ctx, pool := t.Context(), newNotes(t)
	err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		if err := note(ctx, tx, "a"); err != nil {
			return err
		}
		err := note(ctx, tx, "a")
		if postgres.State(err) != "23505" || !strings.HasPrefix(err.Error(), `note "a": `) {
			t.Errorf("twice: %v", err)
		}
		return err
	})
	if errs.KindOf(err) != errs.Conflict {
		t.Errorf("got %v, want Conflict", err)
	}
	tag, err := postgres.Later(pool, nil).Exec(ctx, "INSERT INTO notes VALUES ('a'), ('b')")
	if err != nil || tag.RowsAffected() != 2 {
		t.Errorf("%d rows, %v", tag.RowsAffected(), err)
	}
}

// TestAStatementThatWaitedFails: the error names the statement, has its SQLSTATE and kind, and
// nothing of the transaction stays, whichever call sent the statement. The connection is used again.
func TestAStatementThatWaitedFails(t *testing.T) {
	t.Parallel()
	ends := map[string]func(ctx context.Context, tx pgx.Tx) error{
		"commit": func(context.Context, pgx.Tx) error { return nil },
		"exec": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "DELETE FROM notes WHERE text = $1", "x")
			return err
		},
		"several statements": func(ctx context.Context, tx pgx.Tx) error { _, err := tx.Exec(ctx, "SELECT 1; SELECT 2"); return err },
		"rows":               func(ctx context.Context, tx pgx.Tx) error { _, err := texts(ctx, tx); return err },
		"row": func(ctx context.Context, tx pgx.Tx) error {
			var n int
			return tx.QueryRow(ctx, "SELECT $1::int", 1).Scan(&n)
		},
		"row with an option": func(ctx context.Context, tx pgx.Tx) error {
			var n int
			return tx.QueryRow(ctx, "SELECT 1", pgx.QueryExecModeExec).Scan(&n)
		},
		"batch": func(ctx context.Context, tx pgx.Tx) error {
			var b pgx.Batch
			b.Queue("SELECT 1")
			return tx.SendBatch(ctx, &b).Close()
		},
		"savepoint": func(ctx context.Context, tx pgx.Tx) error { _, err := tx.Begin(ctx); return err },
		"prepare":   func(ctx context.Context, tx pgx.Tx) error { _, err := tx.Prepare(ctx, "p", "SELECT 1"); return err },
		"connection": func(ctx context.Context, tx pgx.Tx) error {
			tx.Conn()
			return note(ctx, tx, "more")
		},
		"ignored": func(ctx context.Context, tx pgx.Tx) error { _, _ = texts(ctx, tx); return nil },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, pool := t.Context(), newNotes(t)
			before := backend(t, pool)
			err := postgres.InPipeline(ctx, pool, func(tx pgx.Tx) error {
				if err := errors.Join(note(ctx, tx, "a"), note(ctx, tx, ""), note(ctx, tx, "b")); err != nil {
					return fmt.Errorf("refused at once: %w", err)
				}
				return end(ctx, tx)
			})
			if err == nil || !strings.HasPrefix(err.Error(), `note "": `) || postgres.State(err) != "23514" || errs.KindOf(err) != errs.Invalid {
				t.Errorf("got %v, want the check that the second note broke", err)
			}
			if n := countNotes(t, pool); n != 0 {
				t.Errorf("%d notes stay", n)
			}
			if err := postgres.InPipeline(ctx, pool, func(tx pgx.Tx) error { return note(ctx, tx, "c") }); err != nil {
				t.Errorf("the next transaction: %v", err)
			}
			if after := backend(t, pool); after != before {
				t.Error("the connection was lost")
			}
		})
	}
}

// TestAStatementThatCannotBePrepared: it is named although none has run, and the readiness check
// examines it and no other statement.
func TestAStatementThatCannotBePrepared(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	refusals := postgres.NewRefusals(prometheus.NewRegistry())
	pool, err := postgres.Open(ctx, postgres.Config{URL: pgtest.NewURL(t), Refusals: refusals})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	exec(t, pool, "CREATE TABLE notes (text text PRIMARY KEY)")
	missing := func(tx pgx.Tx) error {
		_, err := postgres.Later(tx, func(err error) error { return fmt.Errorf("save the list: %w", err) }).
			Exec(ctx, "INSERT INTO lists VALUES ($1)", "x")
		return err
	}
	err = postgres.InPipeline(ctx, pool, func(tx pgx.Tx) error { return errors.Join(note(ctx, tx, "a"), missing(tx)) })
	if err == nil || !strings.HasPrefix(err.Error(), "save the list: ERROR: ") || postgres.State(err) != "42P01" || errs.KindOf(err) != errs.Transient {
		t.Errorf("waited: got %v", err)
	}
	if got, want := postgres.Refused(refusals), []string{"INSERT INTO lists VALUES ($1)"}; !slices.Equal(got, want) {
		t.Errorf("the readiness check examines %q, want %q", got, want)
	}
	// The caller's own statement, and an error that the caller ignores: BEGIN has not run, and the
	// transaction must not seem to be committed.
	err = postgres.InPipeline(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM lists WHERE id = $1", 1)
		if postgres.State(err) != "42P01" || !strings.HasPrefix(err.Error(), "ERROR: ") {
			t.Errorf("the caller's own: got %v", err)
		}
		return note(ctx, tx, "a")
	})
	if postgres.State(err) != "42P01" {
		t.Errorf("ignored: got %v", err)
	}
	// An argument that cannot be encoded is the caller's mistake, and never Transient.
	err = postgres.InPipeline(ctx, pool, func(tx pgx.Tx) error {
		_, err := postgres.Later(tx, func(err error) error { return fmt.Errorf("save: %w", err) }).
			Exec(ctx, "INSERT INTO notes SELECT $1::int::text", struct{}{})
		return err
	})
	if err == nil || !strings.HasPrefix(err.Error(), "save: failed to encode args[0]: ") || errs.KindOf(err) != errs.Internal {
		t.Errorf("an argument: got %v of kind %v", err, errs.KindOf(err))
	}
	if n := countNotes(t, pool); n != 0 {
		t.Errorf("%d notes stay", n)
	}
}

// TestACommitThatFails: a constraint that is checked by COMMIT, and a failure that the caller ignored.
func TestACommitThatFails(t *testing.T) {
	t.Parallel()
	ctx, pool := t.Context(), newNotes(t)
	exec(t, pool, "CREATE TABLE pairs (text text REFERENCES notes DEFERRABLE INITIALLY DEFERRED)")
	before := backend(t, pool)
	err := postgres.InPipeline(ctx, pool, func(tx pgx.Tx) error {
		_, err := postgres.Later(tx, nil).Exec(ctx, "INSERT INTO pairs VALUES ($1)", "none")
		return err
	})
	if postgres.State(err) != "23503" || !strings.HasPrefix(err.Error(), "commit transaction: ") || errs.KindOf(err) != errs.Conflict {
		t.Errorf("deferred constraint: got %v", err)
	}
	for _, waits := range []bool{false, true} {
		err = postgres.InPipeline(ctx, pool, func(tx pgx.Tx) error {
			if err := insert(ctx, tx, "a"); err != nil {
				t.Error(err)
			}
			_ = insert(ctx, tx, "a") // the caller ignores the failure
			if waits {
				return note(ctx, tx, "b")
			}
			return nil
		})
		if want := map[bool]string{true: "25P02"}[waits]; err == nil || postgres.State(err) != want {
			t.Errorf("ignored failure, waits %t: got %v", waits, err)
		}
		if !waits && !errors.Is(err, pgx.ErrTxCommitRollback) {
			t.Errorf("ignored failure: got %v", err)
		}
	}
	if n := countNotes(t, pool); n != 0 {
		t.Errorf("%d notes stay", n)
	}
	if after := backend(t, pool); after != before {
		t.Error("the connection was lost")
	}
}

// TestAPipelineThatDoesNotCommit leaves nothing, and no connection in use.
func TestAPipelineThatDoesNotCommit(t *testing.T) {
	t.Parallel()
	for name, fn := range map[string]func(ctx context.Context, cancel func(), tx pgx.Tx) error{
		"panic":      func(ctx context.Context, _ func(), tx pgx.Tx) error { _ = note(ctx, tx, "a"); panic("bug") },
		"panic late": func(ctx context.Context, _ func(), tx pgx.Tx) error { _ = insert(ctx, tx, "a"); panic("bug") },
		"panic before the rows are read": func(ctx context.Context, _ func(), tx pgx.Tx) error {
			if _, err := tx.Query(ctx, "INSERT INTO notes SELECT generate_series(1, $1::int)::text RETURNING text", 3); err != nil {
				t.Error(err)
			}
			panic("bug")
		},
		"context ended": func(ctx context.Context, cancel func(), tx pgx.Tx) error {
			err := insert(ctx, tx, "a")
			cancel()
			return errors.Join(err, note(ctx, tx, "b"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := newNotes(t)
			func() {
				defer func() { _ = recover() }()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				err := postgres.InPipeline(ctx, pool, func(tx pgx.Tx) error { return fn(ctx, cancel, tx) })
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			}()
			if n := countNotes(t, pool); n != 0 {
				t.Errorf("%d notes stay", n)
			}
			if n := pool.Stat().AcquiredConns(); n != 0 {
				t.Errorf("%d connections still in use", n)
			}
		})
	}
}

// TestAPipelineThatHasEnded runs nothing more.
func TestAPipelineThatHasEnded(t *testing.T) {
	t.Parallel()
	ctx, pool := t.Context(), newNotes(t)
	var kept pgx.Tx
	if err := postgres.InPipeline(ctx, pool, func(tx pgx.Tx) error { kept = tx; return note(ctx, tx, "a") }); err != nil {
		t.Fatal(err)
	}
	_, failed := texts(ctx, kept)
	for name, err := range map[string]error{
		"later": note(ctx, kept, "b"), "exec": insert(ctx, kept, "c"), "rows": failed, "commit": kept.Commit(ctx), "rollback": kept.Rollback(ctx),
	} {
		if !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if n := countNotes(t, pool); n != 1 {
		t.Errorf("%d notes, want 1", n)
	}
}

// TestPipelinesThroughPoolers: PgBouncer runs each pipeline in one session of the server, with the
// settings of the transaction, whatever the mode in which statements are sent.
func TestPipelinesThroughPoolers(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"session", "transaction"} {
		for _, statements := range []string{"", "exec", "simple_protocol", "describe_exec"} {
			t.Run(strings.TrimSuffix(mode+" "+statements, " "), func(t *testing.T) {
				t.Parallel()
				through := pgtest.Pooler(t, mode)
				url := through(pgtest.NewURL(t))
				if statements != "" {
					url += "&default_query_exec_mode=" + statements
				}
				pool, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 2, Bounds: postgres.Bounds{Lock: 1234e6, Statement: 7e9}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(pool.Close)
				exec(t, pool, "CREATE TABLE notes (text text PRIMARY KEY CHECK (text <> ''))")
				usePipelines(t, pool)
			})
		}
	}
}

// usePipelines runs pipelines that commit and pipelines that fail, on all connections at once.
func usePipelines(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	var users errgroup.Group
	for n := range 40 {
		users.Go(func() error {
			bad := n%4 == 0
			err := postgres.InPipeline(ctx, pool, func(tx pgx.Tx) error {
				var lock, statement, idle string
				err := tx.QueryRow(ctx, "SELECT current_setting('lock_timeout'), current_setting('statement_timeout'), current_setting($1)",
					"idle_in_transaction_session_timeout").Scan(&lock, &statement, &idle)
				if err == nil && (lock != "1234ms" || statement != "7s" || idle != "10s") {
					err = fmt.Errorf("settings %s %s %s", lock, statement, idle)
				}
				err = errors.Join(err, note(ctx, tx, fmt.Sprint("a", n)), note(ctx, tx, fmt.Sprint("b", n)))
				if bad {
					err = errors.Join(err, note(ctx, tx, ""))
				}
				return err
			})
			if bad && postgres.State(err) == "23514" {
				return nil
			}
			return err
		})
	}
	if err := users.Wait(); err != nil {
		t.Error(err)
	}
	if n := countNotes(t, pool); n != 60 {
		t.Errorf("%d notes, want two of each of the 30 pipelines that committed", n)
	}
}
