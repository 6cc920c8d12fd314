package pgtest

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// RoundTrips returns a pool of one connection to the database of the given pool, and a function that
// returns how many round trips the connection has made: how often it wrote after it had read. The
// first use of a statement makes one more than later uses, because it prepares the statement.
func RoundTrips(t testing.TB, pool *pgxpool.Pool) (counted *pgxpool.Pool, trips func() int) {
	t.Helper()
	var n turns
	cfg := pool.Config()
	cfg.MaxConns = 1
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return &turnConn{conn, &n}, err
	}
	counted, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(counted.Close)
	return counted, n.count
}

// turns counts how often the direction of a connection changed to writing.
type turns struct {
	mu      sync.Mutex
	n       int
	writing bool
}

func (t *turns) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

func (t *turns) note(writing bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if writing && !t.writing {
		t.n++
	}
	t.writing = writing
}

type turnConn struct {
	net.Conn
	turns *turns
}

func (c *turnConn) Write(b []byte) (int, error) {
	c.turns.note(true)
	return c.Conn.Write(b)
}

func (c *turnConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.turns.note(false)
	}
	return n, err
}
