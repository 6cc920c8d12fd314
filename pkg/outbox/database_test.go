package outbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/postgres"
)

// cable is the network between a pool and the database. It can be cut.
type cable struct {
	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func (c *cable) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("cable is cut")}
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err == nil {
		c.conns[conn] = true
	}
	return conn, err
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	for conn := range c.conns {
		_ = conn.Close() // both ends notice, like after a kill
		delete(c.conns, conn)
	}
}

func TestDatabaseDownAndBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	line := &cable{conns: map[net.Conn]bool{}}
	cfg, err := pgxpool.ParseConfig(f.url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ConnConfig.DialFunc = line.dial
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	apart := *f
	apart.pool = pool
	r := apart.start(t, RelayConfig{Lease: testLease, PollEvery: 10 * time.Millisecond, BatchSize: 20})
	for range 3 {
		f.append(t, keys(1000, 25)...)
		before := f.stats(t).Published
		kafkatest.Eventually(t, "the relay to be busy", func() bool { return f.stats(t).Published > before })
		line.set(true)
		f.append(t, keys(100, 25)...)
		kafkatest.Eventually(t, "the relay to say why it waits", func() bool { return r.Ready() != nil })
		line.set(false)
		f.awaitPublished(t)
		kafkatest.Eventually(t, "the relay to be ready", func() bool { return r.Ready() == nil })
	}
	t.Logf("%d repetitions", f.verify(t))
}

// TestRelayWaitsForWhatTheDatabaseRefuses: what an operator takes away for a while, a table, a
// grant or the login of the role, holds the relay up and does not end it.
func TestRelayWaitsForWhatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	role := f.db.Roles.App
	owner := f.owner(t)
	r := f.start(t, RelayConfig{Lease: testLease, PollEvery: 10 * time.Millisecond})
	for _, tc := range []struct{ name, away, back string }{
		{"the table", `ALTER TABLE outbox RENAME TO outbox_away`, `ALTER TABLE outbox_away RENAME TO outbox`},
		{"the leases' table", `ALTER TABLE outbox_lease RENAME TO lease_away`, `ALTER TABLE lease_away RENAME TO outbox_lease`},
		{"a grant", `REVOKE ALL ON outbox_lease FROM ` + role, `GRANT SELECT, UPDATE ON outbox_lease TO ` + role},
		{"a column", `ALTER TABLE outbox RENAME COLUMN headers TO headers_away`, `ALTER TABLE outbox RENAME COLUMN headers_away TO headers`},
	} {
		f.append(t, keys(10, 3)...)
		f.awaitPublished(t)
		if _, err := owner.Exec(t.Context(), tc.away); err != nil {
			t.Fatal(err)
		}
		kafkatest.Eventually(t, "the relay to say that it waits for "+tc.name, func() bool { return r.Ready() != nil })
		if _, err := owner.Exec(t.Context(), tc.back); err != nil {
			t.Fatal(err)
		}
		f.append(t, keys(10, 3)...)
		f.awaitPublished(t)
		kafkatest.Eventually(t, "the relay to be ready again with "+tc.name, func() bool { return r.Ready() == nil })
	}
	t.Logf("%d repetitions", f.verify(t))
}

// What the database lacks for a while (a table, a right, the login) is waited for. Whoever
// migrates or administrates it may be in the middle of that.
func TestWhatTheDatabaseRefusesIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ away, back, say string }{
		"table": {`ALTER TABLE outbox RENAME TO elsewhere`, `ALTER TABLE elsewhere RENAME TO outbox`, "42P01"},
		"right": {`REVOKE SELECT ON outbox FROM %s`, `GRANT SELECT ON outbox TO %s`, "42501"},
		"mark":  {`REVOKE UPDATE (published_at) ON outbox FROM %s`, `GRANT UPDATE (published_at) ON outbox TO %s`, "42501"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, kafkatest.Start(t, testTopic))
			r := f.start(t, quick)
			f.append(t, keys(20, 5)...)
			f.awaitPublished(t)
			f.append(t, keys(20, 5)...) // some of it may go still
			owner := f.owner(t)
			role := pgx.Identifier{f.pool.Config().ConnConfig.User}.Sanitize()
			do := func(sql string) {
				t.Helper()
				if strings.Contains(sql, "%") {
					sql = fmt.Sprintf(sql, role)
				}
				if _, err := owner.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			do(c.away)
			if name == "mark" {
				f.append(t, keys(20, 5)...) // so that there is something to mark
			}
			kafkatest.Eventually(t, "the relay to say why it waits", func() bool {
				err := r.Ready()
				return err != nil && strings.Contains(err.Error(), c.say)
			})
			select {
			case err := <-r.done:
				t.Fatalf("Run ended: %v", err)
			default:
			}
			do(c.back)
			f.append(t, keys(20, 5)...)
			f.awaitPublished(t)
			kafkatest.Eventually(t, "the relay to be ready", func() bool { return r.Ready() == nil })
			t.Logf("%d repetitions", f.verify(t))
		})
	}
}

func TestBadKafkaOptionEndsRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	cfg := RelayConfig{Brokers: []string{"127.0.0.1:9092"}, KgoOpts: []kgo.Opt{kgo.ProducerBatchMaxBytes(1)}}
	if err := NewRelay(f.pool, f.out, cfg).Run(t.Context()); err == nil {
		t.Error("Run with an impossible batch size returned nil")
	}
}

func TestAppendRawRefusesWhatCanNotBeSent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	tx := f.begin(t)
	id := uuid.Must(uuid.NewV7())
	for name, c := range map[string]struct {
		raw  Raw
		want string
	}{
		"too large": {Raw{ID: id, Topic: "t", Payload: make([]byte, MaxRaw), Key: []byte("k")}, "exceed"},
		"no topic":  {Raw{ID: id}, "no topic"},
		"no id":     {Raw{Topic: "t"}, "no id"},
	} {
		err := f.out.AppendRaw(t.Context(), tx, c.raw)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
	if err := f.out.AppendRaw(t.Context(), tx); err != nil {
		t.Errorf("nothing to append: %v", err)
	}
}

func TestMarkTouchesOnePartition(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	now := time.Now()
	if err := postgres.EnsurePartitions(t.Context(), f.pool, "outbox", now.AddDate(0, 0, -7), now.AddDate(0, 0, 2)); err != nil {
		t.Fatal(err)
	}
	id := uuid.Must(uuid.NewV7())
	conn, err := f.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	// The plan that a connection uses after its first five executions.
	if _, err := conn.Exec(t.Context(), "SET plan_cache_mode = force_generic_plan"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "PREPARE mark (uuid[], uuid, uuid, integer) AS "+markRows); err != nil {
		t.Fatal(err)
	}
	q := fmt.Sprintf("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE mark (ARRAY['%s']::uuid[], '%[1]s', '%[1]s', 1)", id)
	rows, err := conn.Query(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	plan := strings.Join(lines, "\n")
	if !strings.Contains(plan, "Subplans Removed: 10") || !strings.Contains(plan, "pkey") {
		t.Errorf("the mark does not prune partitions or does not use the primary key:\n%s", plan)
	}
}
