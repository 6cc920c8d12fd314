package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

var quiet = slog.New(slog.DiscardHandler)

// ready returns a lifecycle that has prepared the database at url, and its pools.
func ready(t *testing.T, url string, comps ...postgres.Component) (*postgres.Lifecycle, *postgres.Pools, *prometheus.Registry) {
	t.Helper()
	pools, reg := openPools(t, url)
	l := postgres.NewLifecycle(url, pools.Work, quiet, nil, comps)
	l.Mode, l.Pools = postgres.MigrationsWait, pools
	if err := l.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l, pools, reg
}

// awaitReady waits until the check returns the reason; "" for ready.
func awaitReady(t *testing.T, l *postgres.Lifecycle, when, reason string) {
	t.Helper()
	kafkatest.Eventually(t, "readiness "+when+": "+reason, func() bool {
		err := l.Ready(t.Context())
		if reason == "" {
			return err == nil
		}
		return err != nil && strings.Contains(err.Error(), reason)
	})
}

// TestNotReadyWhileTheDatabaseTakesNoWrites: what an administrator temporarily does to the database
// appears at /readyz with the server's reason, and the service recovers by itself.
func TestNotReadyWhileTheDatabaseTakesNoWrites(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ away, back, reason string }{
		"read-only":    {`ALTER DATABASE %[1]s SET default_transaction_read_only = on`, `ALTER DATABASE %[1]s RESET default_transaction_read_only`, "read-only"},
		"closed":       {`ALTER DATABASE %[1]s ALLOW_CONNECTIONS false`, `ALTER DATABASE %[1]s ALLOW_CONNECTIONS true`, "not currently accepting connections"},
		"no room":      {`ALTER ROLE %[2]s CONNECTION LIMIT 0`, `ALTER ROLE %[2]s CONNECTION LIMIT -1`, "too many connections"},
		"no login":     {`ALTER ROLE %[2]s NOLOGIN`, `ALTER ROLE %[2]s LOGIN`, "not permitted to log in"},
		"renamed":      {`ALTER DATABASE %[1]s RENAME TO %[1]s_away`, `ALTER DATABASE %[1]s_away RENAME TO %[1]s`, "does not exist"},
		"no privilege": {`REVOKE CONNECT ON DATABASE %[1]s FROM %[2]s, PUBLIC`, `GRANT CONNECT ON DATABASE %[1]s TO %[2]s`, "permission denied for database"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := pgtest.NewSeparate(t, diary())
			s.Migrate(t)
			admin := open(t, maintenance(t, pgtest.NewURL(t)))
			l, pools, _ := ready(t, s.AppURL, diary())
			database := pools.Work.Config().ConnConfig.Database
			run := func(sql string) {
				t.Helper()
				exec(t, admin, fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'", database))
				exec(t, admin, fmt.Sprintf(sql, database, s.Roles.App))
				exec(t, admin, fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'", database))
			}
			run(tc.away)
			awaitReady(t, l, "while away", tc.reason)
			err := postgres.InTx(t.Context(), pools.Writes, func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), "INSERT INTO diary (id) VALUES (gen_random_uuid())")
				return err
			})
			if errs.KindOf(err) != errs.Transient {
				t.Errorf("a write meanwhile: kind %v of %v, want Transient", errs.KindOf(err), err)
			}
			run(tc.back)
			awaitReady(t, l, "after it is back", "")
		})
	}
}

// TestNotReadyAfterARefusal: drawing a transaction id does not detect a table that accepts no
// writes. The first refused write makes the check examine every table.
func TestNotReadyAfterARefusal(t *testing.T) {
	t.Parallel()
	s := pgtest.NewSeparate(t, diary())
	s.Migrate(t)
	owner := open(t, s.MigratorURL)
	l, pools, reg := ready(t, s.AppURL, diary())
	exec(t, pools.Work, "INSERT INTO diary (id) VALUES (gen_random_uuid())")
	write := func(id string) error {
		_, err := pools.Writes.Exec(t.Context(), "INSERT INTO diary (id, note) VALUES ("+id+", $1)", "note")
		return postgres.Classify(err)
	}
	for _, tc := range []struct{ away, back, reason string }{
		{`ALTER TABLE diary ADD CONSTRAINT shut CHECK (false) NOT VALID`, `ALTER TABLE diary DROP CONSTRAINT shut`, "shut"},
		{`ALTER TABLE diary ADD COLUMN required int NOT NULL DEFAULT 1; ALTER TABLE diary ALTER required DROP DEFAULT`, `ALTER TABLE diary DROP COLUMN required`, ""},
		{`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not now'' USING ERRCODE = ''54000''; END';
			CREATE TRIGGER refuse BEFORE INSERT ON diary FOR EACH STATEMENT EXECUTE FUNCTION refuse()`, `DROP FUNCTION refuse CASCADE`, "not now"},
		{`ALTER TABLE diary RENAME COLUMN note TO remark`, `ALTER TABLE diary RENAME COLUMN remark TO note`, "note"},
		{`REVOKE INSERT ON diary FROM ` + s.Roles.App, `GRANT INSERT ON diary TO ` + s.Roles.App, "permission denied"},
		{`ALTER TABLE diary RENAME TO diary_away`, `ALTER TABLE diary_away RENAME TO diary`, "does not exist"},
	} {
		exec(t, owner, tc.away)
		if err := write("gen_random_uuid()"); err == nil {
			t.Fatalf("written in spite of %s", tc.away)
		}
		if tc.reason != "" {
			awaitReady(t, l, "after a refused write", tc.reason)
		}
		exec(t, owner, tc.back)
		awaitReady(t, l, "after it is back", "")
		if err := write("gen_random_uuid()"); err != nil {
			t.Error(err)
		}
	}
	// A refusal that a record causes does not make the service unready.
	if err := write("'00000000-0000-7000-8000-000000000001'::text::bytea::text::uuid"); err == nil {
		t.Fatal("no error")
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(1500 * time.Millisecond); time.Now().Before(until); <-tick.C { // the check runs within a second
		if err := l.Ready(t.Context()); err != nil {
			t.Fatalf("not ready because of one bad value: %v", err)
		}
	}
	if got := refusals(t, reg, "unclear"); got == 0 {
		t.Error("the refusals are not counted")
	}
}

// maintenance returns the URL of the administrators' database.
func maintenance(t *testing.T, of string) string {
	t.Helper()
	u, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/postgres"
	return u.String()
}

// TestOnceTriesAgain: a part that runs once waits for what the database refuses, and fails
// permanently only by its own fault.
func TestOnceTriesAgain(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t)
	pools, _ := openPools(t, url)
	l := postgres.NewLifecycle(url, pools.Work, quiet, nil, nil)
	tries := 0
	err := l.Once("seeding", func(ctx context.Context) error {
		if tries++; tries == 1 {
			_, err := pools.Work.Exec(ctx, "INSERT INTO seeds VALUES (1)") // no such table yet
			exec(t, pools.Work, "CREATE TABLE seeds (n int)")
			return err
		}
		_, err := pools.Work.Exec(ctx, "INSERT INTO seeds VALUES (1)")
		return err
	})(t.Context())
	if err != nil || tries != 2 {
		t.Errorf("%v after %d tries, want success at the second", err, tries)
	}
	bug := errors.New("bug")
	if err := l.Once("seeding", func(context.Context) error { return bug })(t.Context()); !errors.Is(err, bug) {
		t.Errorf("got %v, want the part's own error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Once("seeding", func(context.Context) error { return errs.New(errs.Transient, "away") })(ctx); err != nil {
		t.Errorf("at the end of the service: %v", err)
	}
}

// TestReadinessIsCheap: however often the check runs, it draws a transaction id only once in a
// while.
func TestReadinessIsCheap(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t)
	l, pools, _ := ready(t, url)
	started := time.Now()
	idle := pools.Relay.Stat().AcquireCount()
	for range 200 {
		if err := l.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	pings, periods := int64(200), 1+int64(time.Since(started)/(5*time.Second))
	if got := pools.Relay.Stat().AcquireCount() - idle; got > pings+periods {
		t.Errorf("%d uses of the database for 200 checks, want a ping each and %d writes at most", got, periods)
	}
}
