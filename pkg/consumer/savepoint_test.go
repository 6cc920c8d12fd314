package consumer

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// TestSavepointsUndoOneFailureAndNothingElse: what the transaction writes between two runs
// stays, whatever the second undoes, and no savepoint stays open.
func TestSavepointsUndoOneFailureAndNothingElse(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t)
	if _, err := pool.Exec(t.Context(), `CREATE TABLE writes (n serial, what text)`); err != nil {
		t.Fatal(err)
	}
	write := func(ctx context.Context, tx pgx.Tx, what string) error {
		_, err := tx.Exec(ctx, `INSERT INTO writes (what) VALUES ($1)`, what)
		return err
	}
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		s := savepoints{tx}
		for run, c := range []struct {
			name   string
			n      int
			broken func(i int) error // what handler i does after its write
			done   int
		}{
			{"none fails", 3, func(int) error { return nil }, 3},
			{"the first fails", 3, failing(0), 0},
			{"the last fails", 3, failing(2), 2},
			{"one alone", 1, failing(0), 0},
			{"one swallows an error of the database", 4, func(i int) error {
				if i == 2 {
					_, _ = tx.Exec(t.Context(), `SELECT 1/0`)
				}
				return nil
			}, 2},
			{"one panics", 2, func(i int) error {
				if i == 1 {
					panic("a bug")
				}
				return nil
			}, 1},
		} {
			done, failure, err := s.run(t.Context(), c.n, func(i int) error {
				if err := write(t.Context(), tx, fmt.Sprint("handler ", run, ".", i)); err != nil {
					return err
				}
				return c.broken(i)
			})
			if err != nil || done != c.done || (failure == nil) != (c.done == c.n) {
				t.Errorf("%s: %d done, want %d; failure %v, %v", c.name, done, c.done, failure, err)
			}
			if err := write(t.Context(), tx, fmt.Sprint("between ", run)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := pool.Query(t.Context(), `SELECT what FROM writes ORDER BY n`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"handler 0.0", "handler 0.1", "handler 0.2", "between 0", "between 1", "handler 2.0", "handler 2.1", "between 2", "between 3",
		"handler 4.0", "handler 4.1", "between 4", "handler 5.0", "between 5",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	err = postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		if _, _, err := (savepoints{tx}).run(t.Context(), 1, failing(0)); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), `RELEASE SAVEPOINT handlers`); err == nil {
			t.Error("a savepoint stays open behind a failure")
		}
		return errors.New("enough")
	})
	if err == nil || err.Error() != "enough" {
		t.Error(err)
	}
}

// failing is a handler that fails when it is number n.
func failing(n int) func(i int) error {
	return func(i int) error {
		if i == n {
			return errors.New("not this one")
		}
		return nil
	}
}
