package api_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/order/internal/app"
)

// TestRoundTrips: an order takes two round trips to the database with an Idempotency-Key, one that
// looks for the key and one that writes, and one without a key. The number of its items and tables
// does not matter.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	pool, trips := pgtest.RoundTrips(t, newDB(t))
	f := fixtureOn(t, pool, app.Config{})
	f.do("POST", "/orders", cart, "Idempotency-Key", "prepares the statements")
	id := f.place()
	f.do("POST", "/orders/"+id+"/cancel", "", "Idempotency-Key", "prepares the statements")
	id = f.place()
	for _, c := range []struct {
		name, path, body, key string
		status, want          int
	}{
		{"an order", "/orders", cart, "a", http.StatusCreated, 2},
		{"its repetition", "/orders", cart, "a", http.StatusCreated, 2},
		{"the key of another order", "/orders", strings.Replace(cart, "Ada", "Eda", 1), "a", http.StatusUnprocessableEntity, 2},
		{"an order without a key", "/orders", cart, "", http.StatusCreated, 1},
		{"a bad order", "/orders", strings.Replace(cart, "99.99", "99.98", 1), "b", http.StatusUnprocessableEntity, 2},
		{"a cancellation", "/orders/" + id + "/cancel", "", "c", http.StatusAccepted, 3}, // the key, the stream, the writes
	} {
		before := trips()
		a := f.do("POST", c.path, c.body, "Idempotency-Key", c.key)
		if got := trips() - before; a.Status != c.status || got != c.want {
			t.Errorf("%s: %d in %d round trips, want %d in %d: %s", c.name, a.Status, got, c.status, c.want, a.Text)
		}
	}
}

// TestBrokenConnections breaks the connection at each of its reads and writes in turn. Each time the
// answer is 503, and the repetition is answered 201: there is one order per key, whole, whether
// its COMMIT had arrived or not.
func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	pool, breaks := breaking(t, newDB(t))
	f := fixtureOn(t, pool, app.Config{})
	orders, again := 0, 0
	for at := 1; ; at++ {
		f.do("POST", "/orders", cart, "Idempotency-Key", fmt.Sprint("prepares ", at))
		key := fmt.Sprint("breaks at ", at)
		breaks.at(at)
		first := f.do("POST", "/orders", cart, "Idempotency-Key", key)
		if left := breaks.at(0); left > 0 { // it needed fewer reads and writes
			if first.Status != http.StatusCreated || at < 4 {
				t.Errorf("unbroken, after %d: %d %s", at-left, first.Status, first.Text)
			}
			orders += 2
			break
		}
		if first.Status != http.StatusServiceUnavailable || first.Header.Get("Retry-After") == "" {
			t.Errorf("broken at %d: %d %s", at, first.Status, first.Text)
		}
		// The server notices later than its client that the connection is closed, and locks the key
		// until then.
		var second answer
		kafkatest.Eventually(t, "the key to be free", func() bool {
			second = f.do("POST", "/orders", cart, "Idempotency-Key", key)
			return second.Status != http.StatusConflict
		})
		if second.Status != http.StatusCreated {
			t.Errorf("broken at %d, repeated: %d %s", at, second.Status, second.Text)
		}
		if second.Header.Get("Idempotency-Replayed") == "true" {
			again++
		}
		orders += 2
	}
	if again == 0 || again == orders/2-1 {
		t.Errorf("%d of %d broken requests had an effect, want some and not all", again, orders/2-1)
	}
	for table, each := range map[string]int{"idempotency_keys": 1, "saga_deadlines": 1, "sagas": 1, "events": 3, "outbox": 2, "outbox_queue": 2} {
		if n := f.count(table); n != orders*each {
			t.Errorf("%d rows in %s, want %d of each of %d orders", n, table, each, orders)
		}
	}
}

// breaker breaks a connection at one of its next reads and writes: the write does not arrive, and
// what would be read is lost.
type breaker struct {
	mu   sync.Mutex
	left int
}

// at sets the read or write at which the connection breaks, and returns how many were left; 0: none.
func (b *breaker) at(n int) (left int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	left, b.left = b.left, n
	return left
}

func (b *breaker) breaks() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == 0 {
		return false
	}
	b.left--
	return b.left == 0
}

// breaking returns a pool of one connection that breaks on demand.
func breaking(t *testing.T, pool *pgxpool.Pool) (*pgxpool.Pool, *breaker) {
	t.Helper()
	b := &breaker{}
	cfg := pool.Config()
	cfg.MaxConns = 1
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return &breakable{conn, b}, err
	}
	broken, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broken.Close)
	return broken, b
}

type breakable struct {
	net.Conn
	breaker *breaker
}

func (c *breakable) Write(p []byte) (int, error) {
	if c.breaker.breaks() {
		c.Conn.Close()
	}
	return c.Conn.Write(p)
}

func (c *breakable) Read(p []byte) (int, error) {
	if c.breaker.breaks() {
		// The server is given the time to commit, so that the answer alone is lost.
		c.Conn.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // the read fails then
		c.Conn.Read(p)                                           //nolint:errcheck // it is lost in any case
		c.Conn.Close()
	}
	return c.Conn.Read(p)
}

// TestCancelMeetsAnotherWriter: a writer that does not lock the order is faster. The cancellation
// writes nothing and is answered 503, and its repetition under the same key succeeds.
func TestCancelMeetsAnotherWriter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.place()
	rows := f.count("outbox")
	lost := make(chan answer, 1)
	err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		news := []eventstore.NewRecord{{Type: "OrderFulfilmentFailed", Data: []byte(`{"reason": "x"}`)}}
		if _, err := eventstore.Append(t.Context(), tx, id, 3, news); err != nil {
			return err
		}
		go func() { lost <- f.do("POST", "/orders/"+id+"/cancel", "", "Idempotency-Key", "k") }()
		kafkatest.Eventually(t, "the cancellation to wait", func() bool {
			var waits bool
			err := f.pool.QueryRow(t.Context(), `SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waits)
			return err == nil && waits
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if a := <-lost; a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("the slower one: %d %s", a.Status, a.Text)
	}
	if n := f.count("outbox"); n != rows {
		t.Errorf("%d rows in outbox, want %d", n, rows)
	}
	if a := f.do("POST", "/orders/"+id+"/cancel", "", "Idempotency-Key", "k"); a.Status != http.StatusAccepted {
		t.Errorf("repeated: %d %s", a.Status, a.Text)
	}
}
