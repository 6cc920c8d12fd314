package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/credentials"
	"eventshop.example/pkg/errs"
)

const (
	// idleInTransaction ends a transaction that a frozen process left open, so that it does not
	// long block the process that took over its partitions.
	idleInTransaction = 10 * time.Second
	// lookTimeout bounds opening a connection and running a trivial statement.
	lookTimeout = 6 * time.Second
	// readOnlyLifetime is how long a connection is used whose server reports itself read-only. A
	// new connection may reach the server's successor; if it does not, reads still work.
	readOnlyLifetime = 10 * time.Second
)

// Keys of the values that a connection stores about itself (pgconn.PgConn.CustomData).
const (
	dataBegin  = "postgres.begin"  // []string: the statements that begin a transaction
	dataOpened = "postgres.opened" // time.Time
)

// Bounds limit how long a pool's users wait. A wait beyond a bound is errs.Transient. Zero means no
// bound except the caller's context.
type Bounds struct {
	Acquire   time.Duration // for a free connection
	Lock      time.Duration // for a lock, of one statement
	Statement time.Duration // for one statement
}

// settings returns the settings of each transaction, by their names in PostgreSQL.
func (b Bounds) settings(idle bool) map[string]string {
	set := map[string]string{}
	if idle {
		set["idle_in_transaction_session_timeout"] = milliseconds(idleInTransaction)
	}
	if b.Lock > 0 {
		set["lock_timeout"] = milliseconds(b.Lock)
	}
	if b.Statement > 0 {
		set["statement_timeout"] = milliseconds(b.Statement)
	}
	return set
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// route is how connections reach the server: directly, or through a pooler that may run each
// transaction in another one of the server's sessions. It is determined once, and again after a
// failure to connect, because the components in between can change.
type route struct {
	mu     sync.Mutex
	known  bool
	pooled bool
}

// find opens a connection of its own to check. A pooler is detected by the process id: the id that
// it announces is not that of the server's session behind it.
func (r *route) find(ctx context.Context, c *pgx.ConnConfig) (pooled bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known {
		return r.pooled, nil
	}
	// The check is short, because other connections wait for it. A server that accepts connections
	// and then does not respond must not delay them.
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	look := c.Copy()
	look.Tracer = nil
	conn, err := pgx.ConnectConfig(ctx, look)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var pid uint32
	if err := conn.QueryRow(ctx, `SELECT pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
		return false, Classify(fmt.Errorf("look for a pooler: %w", err))
	}
	r.known, r.pooled = true, pid != conn.PgConn().PID()
	return r.pooled, nil
}

func (r *route) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = false
}

// prepare returns the hook that completes the configuration of each connection.
//
// On a direct connection, settings are sent when it opens, and statements are prepared once and
// kept. Through a pooler neither would exist in the next transaction. There, settings are sent with
// BEGIN (see [InTx]), and pgx caches a statement's description instead of the statement. Settings
// in the URL itself stay unchanged.
func prepare(cfg Config, r *route) func(context.Context, *pgx.ConnConfig) error {
	return func(ctx context.Context, c *pgx.ConnConfig) error {
		if cfg.PasswordFile != "" {
			password, err := credentials.Password(cfg.PasswordFile)
			if err != nil {
				return errs.New(errs.Transient, "read the database password: %w", err)
			}
			c.Password = password
		}
		for name, value := range map[string]string{"application_name": filepath.Base(os.Args[0]), "timezone": "UTC"} {
			if _, set := c.RuntimeParams[name]; !set {
				c.RuntimeParams[name] = value
			}
		}
		pooled, err := r.find(ctx, c)
		if err != nil {
			return err
		}
		if pooled && !strings.Contains(cfg.URL, "default_query_exec_mode") {
			c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		}
		begin := []string{beginPlain}
		for name, value := range cfg.Bounds.settings(true) {
			switch _, set := c.RuntimeParams[name]; {
			case set:
			case pooled:
				begin = append(begin, fmt.Sprintf("SET LOCAL %s = '%s'", name, value))
			default:
				c.RuntimeParams[name] = value
			}
		}
		c.AfterConnect = func(_ context.Context, conn *pgconn.PgConn) error {
			conn.CustomData()[dataBegin] = begin
			conn.CustomData()[dataOpened] = time.Now()
			return nil
		}
		return nil
	}
}

// beginPlain is the first of the statements that begin a transaction.
const beginPlain = "BEGIN ISOLATION LEVEL READ COMMITTED"

// beginOf returns the statements that begin a transaction on the connection.
func beginOf(conn *pgx.Conn) []string {
	if begin, ok := conn.PgConn().CustomData()[dataBegin].([]string); ok {
		return begin
	}
	return []string{beginPlain}
}

// fresh is a pool's PrepareConn. It drops a connection whose server has reported for a while that
// it accepts no writes. A primary that was demoted and kept its connections does so.
func fresh(_ context.Context, conn *pgx.Conn) (bool, error) {
	readOnly := conn.PgConn().ParameterStatus("in_hot_standby") == "on" ||
		conn.PgConn().ParameterStatus("default_transaction_read_only") == "on"
	opened, ok := conn.PgConn().CustomData()[dataOpened].(time.Time)
	return !(readOnly && ok && time.Since(opened) > readOnlyLifetime), nil
}

// severalHosts reports whether the configuration has more than one server to choose from.
func severalHosts(c *pgx.ConnConfig) bool {
	for _, f := range c.Fallbacks {
		if f.Host != c.Host || f.Port != c.Port {
			return true
		}
	}
	return false
}

// watch observes a pool's connections: it bounds the wait for a free one and records what the
// server refuses. It implements pgx's tracers.
type watch struct {
	bounds   Bounds
	route    *route
	refusals *Refusals
}

type releaseKey struct{}

func (w *watch) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	if w.bounds.Acquire <= 0 {
		return ctx
	}
	ctx, cancel := context.WithTimeoutCause(ctx, w.bounds.Acquire, errs.New(errs.Transient, "no connection was free within %s", w.bounds.Acquire))
	return context.WithValue(ctx, releaseKey{}, cancel)
}

func (w *watch) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, data pgxpool.TraceAcquireEndData) {
	if data.Err != nil && ctx.Err() == context.DeadlineExceeded {
		w.refusals.noteBusy()
	}
	if cancel, ok := ctx.Value(releaseKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

func (w *watch) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

func (w *watch) TraceConnectEnd(_ context.Context, data pgx.TraceConnectEndData) {
	if data.Err != nil {
		w.route.forget()
		w.refusals.noteUnreachable(data.Err)
	}
}

type statementKey struct{}

func (w *watch) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, statementKey{}, data.SQL)
}

func (w *watch) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if data.Err != nil {
		sql, _ := ctx.Value(statementKey{}).(string)
		w.refusals.noteStatement(sql, data.Err)
	}
}

func (w *watch) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (w *watch) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	if data.Err != nil {
		w.refusals.noteStatement(data.SQL, data.Err)
	}
}

// TraceBatchEnd notes the statement that the server refused to prepare. Those that it refused to run
// were noted by TraceBatchQuery.
func (w *watch) TraceBatchEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	if unsent, ok := errors.AsType[pgx.ErrPreprocessingBatch](data.Err); ok {
		w.refusals.noteStatement(unsent.SQL(), data.Err)
	}
}

// onError runs for every error that the server sends on an open connection. It returns false for
// the errors after which the connection is useless.
func (w *watch) onError(next pgconn.PgErrorHandler) pgconn.PgErrorHandler {
	return func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		w.refusals.note(err)
		if err.Code == "25006" {
			return false // the server is read-only; another connection may reach its successor
		}
		return next(conn, err)
	}
}
