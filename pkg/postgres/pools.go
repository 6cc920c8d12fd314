package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
)

const (
	// defaultConns is for one process of a service. A server leaves 97 to ordinary roles by default
	// (max_connections 100, superuser_reserved_connections 3): six processes fit.
	defaultConns = 16
	// leastConns leaves two to each pool, so that one can work while the other waits.
	leastConns = 8
)

// Bounds of requests. Their sum is far below the time that a server allows for a response
// (service.Serve, 30 s), so that the client receives 503 before its connection is cut.
const (
	requestAcquire   = 2 * time.Second
	requestLock      = 3 * time.Second
	requestStatement = 8 * time.Second
)

// Pools are the connections of one process of a service, separated by their users, so that no user
// takes another's: requests that wait for a lock do not delay the consumer, a consumer's long
// transaction does not make the relay lose its lease, and writes do not delay a GET.
type Pools struct {
	Reads  *pgxpool.Pool // requests that only read
	Writes *pgxpool.Pool // requests that change something
	Work   *pgxpool.Pool // consumer, retries, deadlines, upkeep, operators
	Relay  *pgxpool.Pool // the outbox relay with its leases, and the readiness check

	Refusals *Refusals
}

// OpenPools returns the pools. Together they have at most cfg.MaxConns connections, or
// pool_max_conns of the URL, or else 16; fewer than 8 are errs.Invalid. OpenPools sets cfg.Bounds
// and cfg.Refusals. Otherwise it is like [Open]: connections are opened when they are needed. reg
// may be nil.
func OpenPools(ctx context.Context, cfg Config, reg prometheus.Registerer) (*Pools, error) {
	most, err := mostConns(cfg)
	if err != nil {
		return nil, err
	}
	if most < leastConns {
		return nil, errs.New(errs.Invalid, "the database URL allows %d connections (pool_max_conns); a service needs at least %d", most, leastConns)
	}
	p := &Pools{Refusals: NewRefusals(reg)}
	reads, writes, work, relay := shares(most)
	requests := Bounds{Acquire: requestAcquire, Lock: requestLock, Statement: requestStatement}
	way := &route{}
	for _, one := range []struct {
		pool   **pgxpool.Pool
		name   string
		most   int32
		bounds Bounds
	}{
		{&p.Reads, "reads", reads, requests}, {&p.Writes, "writes", writes, requests},
		{&p.Work, "work", work, Bounds{}}, {&p.Relay, "relay", relay, Bounds{}},
	} {
		c := cfg
		c.MaxConns, c.Bounds, c.Refusals = one.most, one.bounds, p.Refusals
		if *one.pool, err = open(ctx, c, way); err != nil {
			p.Close()
			return nil, fmt.Errorf("pool for %s: %w", one.name, err)
		}
	}
	return p, nil
}

// Close closes all pools. It waits for connections in use.
func (p *Pools) Close() {
	for _, pool := range []*pgxpool.Pool{p.Reads, p.Writes, p.Work, p.Relay} {
		if pool != nil {
			pool.Close()
		}
	}
}

// shares divides the connections. The relay uses three at most (read, mark, renew leases). The work
// pool serves a consumer's two loops and what runs beside them. Writes get more than reads, because
// a write waits for the disk.
func shares(most int32) (reads, writes, work, relay int32) {
	relay = min(max(2, most*3/16), 3)
	work = max(2, most/4)
	reads = max(2, most*3/16)
	return reads, most - reads - work - relay, work, relay
}
