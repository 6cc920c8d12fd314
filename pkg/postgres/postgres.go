// Package postgres is how every service reaches its database: a pool that
// opens lazily, transactions, migrations, day partitions, and the mapping of
// database errors to the kinds of package errs.
//
// It guarantees that a transaction started by [InTx] is committed or rolled
// back when InTx returns, also after a panic, and that errors which may go
// away by themselves come back as errs.Transient. It does not retry: the
// caller knows whether its work may run twice. A commit whose connection
// breaks is Transient although it may have happened; callers must be
// idempotent, by the inbox or by an idempotency key.
package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/credentials"
	"eventshop.example/pkg/errs"
)

// defaultMaxConns suits one small service: a consumer, a relay, and a handful
// of concurrent requests. Five services with 8 each stay far below the
// server's default limit of 100 connections.
const defaultMaxConns = 8

// rollbackTimeout bounds the rollback after the caller's context has ended.
const rollbackTimeout = 5 * time.Second

// Config says which database a pool is for.
type Config struct {
	URL          string // postgres://user:password@host:port/database?…
	PasswordFile string // read for each new connection, in place of the URL's password; "" for none
	MaxConns     int32  // 0 means pool_max_conns of the URL, or else 8
}

// Querier is what a query needs: a pool, a connection or a transaction.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Open returns a pool for the database. It fails with errs.Invalid on a URL
// that cannot be read, but not when the server is down: connections are made
// when they are needed. The connections name the program in pg_stat_activity,
// use UTC, and give up a transaction that was left idle for ten seconds, so that
// a frozen process does not hold up for long whoever took over its partitions.
func Open(ctx context.Context, cfg Config) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, errs.New(errs.Invalid, "read the database URL: %w", err) // pgx hides the password
	}
	switch {
	case cfg.MaxConns > 0:
		c.MaxConns = cfg.MaxConns
	case !strings.Contains(cfg.URL, "pool_max_conns"):
		c.MaxConns = defaultMaxConns
	}
	c.MaxConnIdleTime = 5 * time.Minute
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	params := c.ConnConfig.RuntimeParams
	for name, value := range map[string]string{
		"application_name":                    filepath.Base(os.Args[0]),
		"timezone":                            "UTC",
		"idle_in_transaction_session_timeout": "10s",
	} {
		if _, set := params[name]; !set {
			params[name] = value
		}
	}
	c.BeforeConnect = passwordFrom(cfg.PasswordFile)
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, Classify(fmt.Errorf("open the database pool: %w", err))
	}
	return pool, nil
}

// passwordFrom returns a hook that gives a connection the password that the file holds then,
// so that a rotation needs no restart; nil without a file.
func passwordFrom(file string) func(context.Context, *pgx.ConnConfig) error {
	if file == "" {
		return nil
	}
	return func(_ context.Context, c *pgx.ConnConfig) error {
		password, err := credentials.Password(file)
		if err != nil {
			return errs.New(errs.Transient, "read the database password: %w", err)
		}
		c.Password = password
		return nil
	}
}

// InTx runs fn in one transaction at the isolation level read committed: it
// commits when fn returns nil and rolls back when fn returns an error or
// panics. Errors come back through [Classify], fn's own among them, so a kind
// that fn gave stays.
func InTx(ctx context.Context, pool *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return Classify(fmt.Errorf("begin transaction: %w", err))
	}
	// After a commit this does nothing. It has its own deadline because
	// rolling back with a context that has ended would cost the connection.
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
