package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// TestPoolers: with PgBouncer and its default settings in between, everything works as without it.
// Statements, settings and locks must not depend on a session of the server.
func TestPoolers(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"session", "transaction"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			through := pgtest.Pooler(t, mode)
			url := through(pgtest.NewURL(t))
			comps := []postgres.Component{diary()}

			// Several replicas start at once; one migrates.
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var starts errgroup.Group
			for range 2 {
				starts.Go(func() error { return postgres.Migrate(ctx, url, comps...) })
			}
			if err := starts.Wait(); err != nil {
				t.Fatal(err)
			}

			pool, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 2, Bounds: postgres.Bounds{Lock: 1234 * time.Millisecond, Statement: 7 * time.Second}})
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			err = postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
				for setting, want := range map[string]string{
					"lock_timeout": "1234ms", "statement_timeout": "7s", "idle_in_transaction_session_timeout": "10s",
					"TimeZone": "UTC", "transaction_isolation": "read committed",
				} {
					var got string
					if err := tx.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil {
						return err
					}
					if got != want {
						t.Errorf("%s is %q, want %q", setting, got, want)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pool.Exec(t.Context(), "CREATE TABLE things (id uuid PRIMARY KEY, n int, names text[], at timestamptz)"); err != nil {
				t.Fatal(err)
			}
			var users errgroup.Group
			for n := range 40 {
				users.Go(func() error {
					id := uuid.New()
					err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
						_, err := tx.Exec(t.Context(), "INSERT INTO things VALUES ($1, $2, $3, $4)", id, n, []string{"a", "b"}, time.Now())
						return err
					})
					if err != nil {
						return err
					}
					var got int
					return pool.QueryRow(t.Context(), fmt.Sprintf("SELECT n + %d FROM things WHERE id = ANY ($1)", n), []uuid.UUID{id}).Scan(&got)
				})
			}
			if err := users.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPoolerInStatementMode: a pool cannot work in this mode, and reports why instead of ending the
// service.
func TestPoolerInStatementMode(t *testing.T) {
	t.Parallel()
	through := pgtest.Pooler(t, "statement")
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: through(pgtest.NewURL(t))})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	err = postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error { return nil })
	if errs.KindOf(err) != errs.Transient || !strings.Contains(err.Error(), "statement pooling") {
		t.Errorf("kind %v of %v, want Transient with PgBouncer's reason", errs.KindOf(err), err)
	}
}

// TestMigrationsExcludeEachOther: migrations also exclude a process of the earlier release, whose
// lock is a session's.
func TestMigrationsExcludeEachOther(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t)
	old, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close(context.Background())
	if _, err := old.Exec(t.Context(), "SELECT pg_advisory_lock(4097083626)"); err != nil { // goose's number
		t.Fatal(err)
	}
	done := make(chan error, 1)
	var both sync.WaitGroup
	both.Go(func() { done <- postgres.Migrate(t.Context(), url, diary()) })
	defer both.Wait()
	kafkatest.Eventually(t, "the migration to wait for the lock", func() bool {
		var waits bool
		err := old.QueryRow(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() WHERE locktype = 'advisory' AND NOT granted)").Scan(&waits)
		return err == nil && waits
	})
	var there bool
	if err := old.QueryRow(t.Context(), "SELECT to_regclass('diary_migrations') IS NOT NULL").Scan(&there); err != nil || there {
		t.Errorf("migrated while another process held the lock (%v)", err)
	}
	if _, err := old.Exec(t.Context(), "SELECT pg_advisory_unlock(4097083626)"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
