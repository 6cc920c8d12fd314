package postgres

import (
	"context"
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
	// idleInTransaction gives up a transaction that a frozen process left open, so that it does
	// not hold up for long the process that took over its partitions.
	idleInTransaction = 10 * time.Second
	// lookTimeout is what a connection may take, and a statement that does nothing.
	lookTimeout = 6 * time.Second
	// readOnlyLifetime is how long a connection is used whose server says that it is read-only.
	// A new one may reach the server's successor; where it does not, reads still go on.
	readOnlyLifetime = 10 * time.Second
)

// Keys of what a connection remembers about itself (pgconn.PgConn.CustomData).
const (
	dataBegin  = "eventshop.begin"  // string: the statement that begins a transaction
	dataOpened = "eventshop.opened" // time.Time
)

// Bounds say how long a pool's users wait. A bound that is passed is errs.Transient. Zero is
// no bound but the caller's context.
type Bounds struct {
	Acquire   time.Duration // for a free connection
	Lock      time.Duration // for a lock, of one statement
	Statement time.Duration // for one statement
}

// settings are those that each transaction has, by their names in PostgreSQL.
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

// route is how connections reach the server: straight, or by a pooler that may give each
// transaction another one of the server's sessions. It is found out once and, since what is
// in between can change, again after a failure to connect.
type route struct {
	mu     sync.Mutex
	known  bool
	pooled bool
}

// find makes a connection of its own to look. A pooler shows by the process id: the one it
// announces is not the one of the server's session behind it.
func (r *route) find(ctx context.Context, c *pgx.ConnConfig) (pooled bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known {
		return r.pooled, nil
	}
	// The look is short, since others wait for it: a server that accepts connections and then
	// says nothing must not hold them up.
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

// prepare makes the hook that completes the configuration of each connection.
//
// Straight to the server, settings come with the connection, and statements are prepared once
// and kept. By a pooler neither would be there in the next transaction: settings come with
// BEGIN (see [InTx]), and pgx keeps a statement's description instead of the statement. What
// the URL sets itself stays as it is.
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
		var begin strings.Builder
		begin.WriteString("BEGIN ISOLATION LEVEL READ COMMITTED")
		for name, value := range cfg.Bounds.settings(true) {
			switch _, set := c.RuntimeParams[name]; {
			case set:
			case pooled:
				fmt.Fprintf(&begin, "; SET LOCAL %s = '%s'", name, value)
			default:
				c.RuntimeParams[name] = value
			}
		}
		text := begin.String()
		c.AfterConnect = func(_ context.Context, conn *pgconn.PgConn) error {
			conn.CustomData()[dataBegin] = text
			conn.CustomData()[dataOpened] = time.Now()
			return nil
		}
		return nil
	}
}

// beginOf returns the statement that begins a transaction on the connection.
func beginOf(conn *pgx.Conn) string {
	if text, ok := conn.PgConn().CustomData()[dataBegin].(string); ok {
		return text
	}
	return "BEGIN ISOLATION LEVEL READ COMMITTED"
}

// fresh is a pool's PrepareConn: it drops a connection whose server has said for a while
// that it takes no writes, as a primary does that was demoted and kept its connections.
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

// watch sees what happens to a pool's connections: it bounds the wait for a free one and
// notes what the server refuses. It implements pgx's tracers.
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

func (w *watch) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	return context.WithValue(ctx, statementKey{}, data.Batch)
}

func (w *watch) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (w *watch) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	if batch, ok := ctx.Value(statementKey{}).(*pgx.Batch); ok && data.Err != nil {
		for _, q := range batch.QueuedQueries {
			w.refusals.noteStatement(q.SQL, data.Err)
		}
	}
}

// onError is called for every error that the server sends on an open connection. It returns
// false for those after which the connection is of no use.
func (w *watch) onError(next pgconn.PgErrorHandler) pgconn.PgErrorHandler {
	return func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		w.refusals.note(err)
		if err.Code == "25006" {
			return false // the server is read-only; another connection may reach its successor
		}
		return next(conn, err)
	}
}
