// Package postgres connects every service to its database: pools that open lazily, transactions,
// migrations, day partitions, readiness, and the mapping of database errors to the kinds of package
// errs.
//
// It guarantees:
//
//   - A transaction started by [InTx] or [InPipeline] is committed or rolled back when the function
//     returns, also after a panic.
//   - Errors that may end by themselves, or when an operator repairs the server, are errs.Transient
//     ([Classify]).
//   - The users of one of [Pools] do not take another's connections.
//   - No connection is kept that refuses writes because its server is read-only.
//   - Nothing depends on a session of the server, so a pooler may be in between.
//
// Transactions that are many, or that a client waits for, are opened by [InPipeline], which saves
// round trips; all others by [InTx].
//
// It does not retry: the caller knows whether its work may run twice. A commit whose connection
// breaks is Transient although it may have happened. Callers must be idempotent, by the inbox or by
// an idempotency key.
package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
)

// defaultMaxConns is for one small program. A service uses [Pools].
const defaultMaxConns = 8

// rollbackTimeout bounds the rollback after the caller's context has ended.
const rollbackTimeout = 5 * time.Second

// Config selects a pool's database.
type Config struct {
	URL          string // postgres://user:password@host:port/database?…
	PasswordFile string // read for each new connection, in place of the URL's password; "" for none
	MaxConns     int32  // 0 means pool_max_conns of the URL, or else 8

	Bounds   Bounds    // how long users of the pool wait
	Refusals *Refusals // counts what the database refuses; nil: not counted
}

// Querier runs queries: a pool, a connection or a transaction.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Open returns a pool for the database. It fails with errs.Invalid on a malformed URL, but not when
// the server is down: connections are opened when they are needed. The connections name the program
// in pg_stat_activity and use UTC. The server ends a transaction that was idle for ten seconds, so
// that a frozen process does not long block the process that took over its partitions.
//
// A connection is dropped when the server refuses a write because it is read-only, and after ten
// seconds when the server reports itself read-only. Of several hosts in the URL, the pool uses the
// one that accepts writes unless the URL says otherwise (target_session_attrs). The pool detects
// poolers: PgBouncer in session or transaction mode works without further settings. In statement
// mode it refuses transactions, and every use of the pool fails as errs.Transient with its text.
func Open(ctx context.Context, cfg Config) (*pgxpool.Pool, error) {
	return open(ctx, cfg, &route{})
}

func open(ctx context.Context, cfg Config, way *route) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, errs.New(errs.Invalid, "read the database URL: %w", err) // pgx hides the password
	}
	switch {
	case cfg.MaxConns > 0:
		c.MaxConns = cfg.MaxConns
	case !setsMaxConns(cfg):
		c.MaxConns = defaultMaxConns
	}
	c.MaxConnIdleTime = 5 * time.Minute
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	if c.ConnConfig.ValidateConnect == nil && severalHosts(c.ConnConfig) {
		c.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	w := &watch{bounds: cfg.Bounds, route: way, refusals: cfg.Refusals}
	c.ConnConfig.Tracer = w
	c.ConnConfig.OnPgError = w.onError(c.ConnConfig.OnPgError)
	c.BeforeConnect = prepare(cfg, way)
	c.PrepareConn = fresh
	c.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		registerUUIDs(conn)
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, Classify(fmt.Errorf("open the database pool: %w", err))
	}
	return pool, nil
}

func setsMaxConns(cfg Config) bool { return strings.Contains(cfg.URL, "pool_max_conns") }

// mostConns returns how many connections the configuration allows a service.
func mostConns(cfg Config) (int32, error) {
	c, err := pgxpool.ParseConfig(cfg.URL)
	switch {
	case err != nil:
		return 0, errs.New(errs.Invalid, "read the database URL: %w", err)
	case cfg.MaxConns > 0:
		return cfg.MaxConns, nil
	case setsMaxConns(cfg):
		return c.MaxConns, nil
	}
	return defaultConns, nil
}

// InTx runs fn in one transaction at the isolation level read committed. It commits when fn returns
// nil, and rolls back when fn returns an error or panics. Errors pass through [Classify], including
// those of fn, so a kind that fn has set stays.
func InTx(ctx context.Context, pool *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return Classify(fmt.Errorf("get a connection: %w", err))
	}
	defer conn.Release()
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: strings.Join(beginOf(conn.Conn()), "; ")})
	if err != nil {
		return Classify(fmt.Errorf("begin transaction: %w", err))
	}
	// After a commit the rollback does nothing. It has its own deadline, because a rollback with a
	// context that has ended would cost the connection.
	defer func() {
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_ = tx.Rollback(rctx) // a connection that cannot roll back is closed by pgx, and the server rolls back
	}()
	if err := fn(tx); err != nil {
		return Classify(err)
	}
	if err := tx.Commit(ctx); err != nil {
		return Classify(fmt.Errorf("commit transaction: %w", err))
	}
	return nil
}
