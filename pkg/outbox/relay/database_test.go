package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox/outboxtest"
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
		_ = conn.Close() // both ends notice, as after a kill
		delete(c.conns, conn)
	}
}

func TestDatabaseDownAndBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	line := &cable{conns: map[net.Conn]bool{}}
	cfg, err := pgxpool.ParseConfig(f.URL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ConnConfig.DialFunc = line.dial
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	table := *f.Table
	table.Pool = pool
	apart := fixture{Table: &table, brokers: f.brokers}
	r := apart.start(t, Config{Lease: testLease, PollEvery: 10 * time.Millisecond, BatchSize: 20})
	for range 3 {
		f.Append(t, outboxtest.Keys(1000, 25)...)
		before := f.stats(t).Published
		kafkatest.Eventually(t, "the relay to be busy", func() bool { return f.stats(t).Published > before })
		line.set(true)
		f.Append(t, outboxtest.Keys(100, 25)...)
		kafkatest.Eventually(t, "the relay to say why it waits", func() bool { return r.Ready() != nil })
		line.set(false)
		f.awaitPublished(t)
		kafkatest.Eventually(t, "the relay to be ready", func() bool { return r.Ready() == nil })
	}
	t.Logf("%d repetitions", f.verify(t))
}

// TestRelayWaitsForWhatTheDatabaseRefuses: when an operator temporarily removes a table, a grant or
// the role's login, the relay waits and does not end.
func TestRelayWaitsForWhatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	role := f.DB.Roles.App
	owner := f.Owner(t)
	r := f.start(t, Config{Lease: testLease, PollEvery: 10 * time.Millisecond})
	for _, tc := range []struct{ name, away, back string }{
		{"the table", `ALTER TABLE outbox RENAME TO outbox_away`, `ALTER TABLE outbox_away RENAME TO outbox`},
		{"the leases' table", `ALTER TABLE outbox_lease RENAME TO lease_away`, `ALTER TABLE lease_away RENAME TO outbox_lease`},
		{"a grant", `REVOKE ALL ON outbox_lease FROM ` + role, `GRANT SELECT, UPDATE ON outbox_lease TO ` + role},
		{"a column", `ALTER TABLE outbox RENAME COLUMN headers TO headers_away`, `ALTER TABLE outbox RENAME COLUMN headers_away TO headers`},
	} {
		f.Append(t, outboxtest.Keys(10, 3)...)
		f.awaitPublished(t)
		if _, err := owner.Exec(t.Context(), tc.away); err != nil {
			t.Fatal(err)
		}
		kafkatest.Eventually(t, "the relay to say that it waits for "+tc.name, func() bool { return r.Ready() != nil })
		if _, err := owner.Exec(t.Context(), tc.back); err != nil {
			t.Fatal(err)
		}
		f.Append(t, outboxtest.Keys(10, 3)...)
		f.awaitPublished(t)
		kafkatest.Eventually(t, "the relay to be ready again with "+tc.name, func() bool { return r.Ready() == nil })
	}
	t.Logf("%d repetitions", f.verify(t))
}

// The relay waits for a missing table, right or login, because operators may be in the middle of a
// migration or an administrative task.
func TestWhatTheDatabaseRefusesIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ away, back, say string }{
		"table": {`ALTER TABLE outbox RENAME TO elsewhere`, `ALTER TABLE elsewhere RENAME TO outbox`, "42P01"},
		"right": {`REVOKE SELECT ON outbox FROM %s`, `GRANT SELECT ON outbox TO %s`, "42501"},
		"mark":  {`REVOKE DELETE ON outbox_queue FROM %s`, `GRANT DELETE ON outbox_queue TO %s`, "42501"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, kafkatest.Start(t, testTopic))
			r := f.start(t, quick)
			f.Append(t, outboxtest.Keys(20, 5)...)
			f.awaitPublished(t)
			f.Append(t, outboxtest.Keys(20, 5)...) // some of these may still be published
			owner := f.Owner(t)
			role := pgx.Identifier{f.Pool.Config().ConnConfig.User}.Sanitize()
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
				f.Append(t, outboxtest.Keys(20, 5)...) // so that there is something to mark
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
			f.Append(t, outboxtest.Keys(20, 5)...)
			f.awaitPublished(t)
			kafkatest.Eventually(t, "the relay to be ready", func() bool { return r.Ready() == nil })
			t.Logf("%d repetitions", f.verify(t))
		})
	}
}

func TestBadKafkaOptionEndsRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	cfg := Config{Brokers: []string{"127.0.0.1:9092"}, KgoOpts: []kgo.Opt{kgo.ProducerBatchMaxBytes(1)}}
	if err := New(f.Pool, f.Out, cfg).Run(t.Context()); err == nil {
		t.Error("Run with an impossible batch size returned nil")
	}
}
