package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

func openPools(t *testing.T, url string) (*postgres.Pools, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	pools, err := postgres.OpenPools(t.Context(), postgres.Config{URL: url}, reg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pools.Close)
	return pools, reg
}

// TestPoolsShareABound: whatever the bound, the pools together stay within it, and each has two
// connections at least.
func TestPoolsShareABound(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t)
	for _, tc := range []struct {
		suffix string
		max    int32
		want   int32 // 0: refused
	}{
		{"", 0, 16}, {"&pool_max_conns=8", 0, 8}, {"&pool_max_conns=8", 40, 40}, {"", 9, 9}, {"", 13, 13},
		{"&pool_max_conns=7", 0, 0}, {"", 1, 0},
	} {
		pools, err := postgres.OpenPools(t.Context(), postgres.Config{URL: url + tc.suffix, MaxConns: tc.max}, nil)
		if tc.want == 0 {
			if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "at least 8") {
				t.Errorf("%q, %d: kind %v of %v, want Invalid", tc.suffix, tc.max, errs.KindOf(err), err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pools.Close)
		sum := int32(0)
		for name, pool := range byName(pools) {
			n := pool.Config().MaxConns
			if sum += n; n < 2 {
				t.Errorf("%q, %d: %s has %d connections", tc.suffix, tc.max, name, n)
			}
		}
		if sum != tc.want {
			t.Errorf("%q, %d: %d connections in all, want %d", tc.suffix, tc.max, sum, tc.want)
		}
	}
}

func byName(p *postgres.Pools) map[string]*pgxpool.Pool {
	return map[string]*pgxpool.Pool{"reads": p.Reads, "writes": p.Writes, "work": p.Work, "relay": p.Relay}
}

// TestWritesThatWaitHoldUpNothingElse: a lock makes more requests wait than they have connections.
// Each is refused within seconds as Transient, and all other users of the database work meanwhile.
func TestWritesThatWaitHoldUpNothingElse(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t)
	pools, reg := openPools(t, url)
	exec(t, pools.Work, "CREATE TABLE notes (n int)")
	lock := begin(t, pools.Work)
	if _, err := lock.Exec(t.Context(), "LOCK TABLE notes IN SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	var writers errgroup.Group
	for range 20 {
		writers.Go(func() error {
			started := time.Now()
			err := postgres.InTx(t.Context(), pools.Writes, func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), "INSERT INTO notes VALUES (1)")
				return err
			})
			if took := time.Since(started); errs.KindOf(err) != errs.Transient || took > 10*time.Second {
				t.Errorf("kind %v of %v after %s, want Transient within ten seconds", errs.KindOf(err), err, took)
			}
			return nil
		})
	}
	kafkatest.Eventually(t, "all connections for writes to wait", func() bool {
		return pools.Writes.Stat().AcquiredConns() == pools.Writes.Config().MaxConns
	})
	for name, pool := range byName(pools) {
		if pool == pools.Writes {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if _, err := pool.Exec(ctx, "SELECT count(*) FROM notes"); err != nil {
			t.Errorf("%s while the writes wait: %v", name, err)
		}
		cancel()
	}
	writers.Wait()
	if n := refusals(t, reg, "environment"); n < 20 {
		t.Errorf("%v refusals counted, want one for each writer", n)
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, pools.Writes, "INSERT INTO notes VALUES (1)")
}

// refusals returns the number of refusals that the metric counts for a value of the label blames.
func refusals(t *testing.T, reg *prometheus.Registry, blames string) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "database_refusals_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "blames" && label.GetValue() == blames {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

func begin(t *testing.T, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
}

// TestReadOnlyConnectionsAreDropped: a primary that was demoted refuses writes on connections that
// stay open. The next write uses a new connection, which may reach its successor.
func TestReadOnlyConnectionsAreDropped(t *testing.T) {
	t.Parallel()
	pool := newNotes(t)
	var conns []*pgxpool.Conn
	for range pool.Config().MaxConns {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "SET default_transaction_read_only = on"); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		conn.Release()
	}
	refused := 0
	for ; ; refused++ {
		err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error { return insert(t.Context(), tx, "kept") })
		if err == nil {
			break
		}
		if errs.KindOf(err) != errs.Transient || postgres.State(err) != "25006" {
			t.Fatalf("kind %v of %v, want Transient", errs.KindOf(err), err)
		}
		if refused > len(conns) {
			t.Fatalf("refused %d times: the connections are kept", refused)
		}
	}
	if refused == 0 {
		t.Error("no write was refused: the test shows nothing")
	}
}

// TestReadOnlyConnectionsOfReadersGetOld: a reader is never refused, so its connection is dropped
// because the server reports itself read-only.
func TestReadOnlyConnectionsOfReadersGetOld(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: pgtest.NewURL(t), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	first := backend(t, pool)
	exec(t, pool, "SET default_transaction_read_only = on")
	if got := backend(t, pool); got != first {
		t.Errorf("the connection was dropped at once: where every server is read-only, each read would need a new one")
	}
	age(t, pool)
	if got := backend(t, pool); got == first {
		t.Error("the connection was kept")
	}
	exec(t, pool, "SET default_transaction_read_only = off")
	second := backend(t, pool)
	age(t, pool)
	if got := backend(t, pool); got != second {
		t.Error("a connection that takes writes was dropped")
	}
}

// age makes the pool's only connection a minute older.
func age(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	data := conn.Conn().PgConn().CustomData()
	opened, ok := data["postgres.opened"].(time.Time)
	if !ok {
		t.Fatal("the connection does not know when it was opened")
	}
	data["postgres.opened"] = opened.Add(-time.Minute)
}

// TestSeveralHosts: of the hosts in the URL, the pool uses the one that accepts writes, and another
// one when that is unavailable.
func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t)
	u := strings.Replace(url, "host=", "host=/nowhere,", 1)
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	exec(t, pool, "CREATE TABLE notes (n int)")
	database := pool.Config().ConnConfig.Database
	exec(t, pool, "ALTER DATABASE "+database+" SET default_transaction_read_only = on")
	pool.Reset()
	if err := postgres.Classify(pool.Ping(t.Context())); errs.KindOf(err) != errs.Transient || !strings.Contains(err.Error(), "read only") {
		t.Errorf("kind %v of %v: of several hosts none takes writes, want Transient", errs.KindOf(err), err)
	}
}
