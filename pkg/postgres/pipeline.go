package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// InPipeline is [InTx] in fewer round trips. BEGIN and the statements of [Later] wait. They are sent
// together with the next statement whose result the caller needs, or with COMMIT. A transaction that
// reads once and then writes what it has decided takes two round trips, whatever the number of its
// tables.
//
// Everything else is as in InTx: the statements run in the order of the calls, the first failure ends
// the transaction, and nothing of it stays. The error of a statement that waited comes from the call
// that sent it, and in most cases that is InPipeline itself. The error of Later identifies it. A
// connection that breaks after COMMIT was sent leaves the outcome unknown, as in InTx; here that
// includes the statements sent together with COMMIT.
//
// A statement that is sent with others is planned before they run, so it cannot refer to a table that
// one of them creates. The first use of a statement on a connection takes one more round trip, which
// prepares it.
func InPipeline(ctx context.Context, pool *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return Classify(fmt.Errorf("get a connection: %w", err))
	}
	defer conn.Release()
	p := newPipeline(conn.Conn())
	defer func() {
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_ = p.Rollback(rctx) // see InTx
	}()
	if err := fn(p); err != nil {
		return Classify(err)
	}
	return Classify(p.Commit(ctx))
}

// pipeline is the transaction of [InPipeline].
type pipeline struct {
	pgx.Tx // nil until BEGIN was sent
	conn   *pgx.Conn
	queue  []queued // what waits, BEGIN included
	failed error    // why a statement that had waited failed; nothing runs after it
	ended  bool
}

var _ pgx.Tx = (*pipeline)(nil)

// queued is a statement that waits.
type queued struct {
	sql    string
	args   []any
	failed func(error) error // the error of the statement, as its caller wants it
}

func newPipeline(conn *pgx.Conn) *pipeline {
	p := &pipeline{conn: conn}
	for _, sql := range beginOf(conn) {
		p.queue = append(p.queue, queued{sql: sql, failed: attempted("begin transaction")})
	}
	return p
}

func attempted(what string) func(error) error {
	return func(err error) error { return fmt.Errorf("%s: %w", what, err) }
}

// later makes a statement wait.
func (p *pipeline) later(q queued) error {
	switch {
	case p.ended:
		return q.failed(pgx.ErrTxClosed)
	case p.failed != nil:
		return p.failed
	}
	p.queue = append(p.queue, q)
	return nil
}

// SendBatch sends what waits and then the batch, in one round trip. It reads the results of what
// waited; those of the batch are the caller's.
func (p *pipeline) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	switch {
	case p.ended:
		return pgx.FailedBatchResults(b, pgx.ErrTxClosed)
	case p.failed != nil:
		return pgx.FailedBatchResults(b, p.failed)
	case len(p.queue) == 0:
		return p.Tx.SendBatch(ctx, b)
	}
	queue := p.queue
	p.queue = nil
	var all pgx.Batch
	for _, q := range queue {
		if p.Tx == nil && all.Len() == 0 {
			all.BeginTx(pgx.TxOptions{BeginQuery: q.sql})
			continue
		}
		all.Queue(q.sql, q.args...)
	}
	all.QueuedQueries = append(all.QueuedQueries, b.QueuedQueries...)
	results := p.conn.SendBatch(ctx, &all)
	if p.Tx == nil {
		p.Tx = results.Tx()
	}
	for _, q := range queue {
		if _, err := results.Exec(); err != nil {
			_ = results.Close() // returns the same error
			p.failed = blame(err, q, queue)
			return pgx.FailedBatchResults(b, p.failed)
		}
	}
	return results
}

// blame returns the error of a statement that waited. None has run when one of the batch could not be
// prepared. That one may also be the caller's own, which is none of the queue.
func blame(err error, q queued, queue []queued) error {
	unsent, ok := errors.AsType[pgx.ErrPreprocessingBatch](err)
	if !ok {
		return q.failed(err)
	}
	err = unsent.Unwrap()
	if i := slices.IndexFunc(queue, func(q queued) bool { return q.sql == unsent.SQL() }); i >= 0 {
		return queue[i].failed(err)
	}
	return err
}

// flush sends what waits.
func (p *pipeline) flush(ctx context.Context) error {
	return p.SendBatch(ctx, &pgx.Batch{}).Close()
}

// Exec implements [pgx.Tx]. A text without arguments may be several statements, which a batch cannot
// contain.
func (p *pipeline) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if len(p.queue) == 0 || len(args) == 0 || hasOptions(args) {
		if err := p.flush(ctx); err != nil {
			return pgconn.CommandTag{}, err
		}
		return p.Tx.Exec(ctx, sql, args...)
	}
	var b pgx.Batch
	b.Queue(sql, args...)
	results := p.SendBatch(ctx, &b)
	tag, err := results.Exec()
	if closed := results.Close(); err == nil {
		err = closed
	}
	return tag, err
}

// Query implements [pgx.Tx].
func (p *pipeline) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if len(p.queue) == 0 || hasOptions(args) {
		if err := p.flush(ctx); err != nil {
			return pgx.FailedBatchResults(&pgx.Batch{}, err).Query()
		}
		return p.Tx.Query(ctx, sql, args...)
	}
	var b pgx.Batch
	b.Queue(sql, args...)
	results := p.SendBatch(ctx, &b)
	found, err := results.Query()
	if err != nil {
		_ = results.Close() // returns the same error
		return found, err
	}
	return &lastRows{Rows: found, batch: results}, nil
}

// QueryRow implements [pgx.Tx].
func (p *pipeline) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if len(p.queue) == 0 || hasOptions(args) {
		if err := p.flush(ctx); err != nil {
			return pgx.FailedBatchResults(&pgx.Batch{}, err).QueryRow()
		}
		return p.Tx.QueryRow(ctx, sql, args...)
	}
	var b pgx.Batch
	b.Queue(sql, args...)
	results := p.SendBatch(ctx, &b)
	return lastRow{Row: results.QueryRow(), batch: results}
}

// hasOptions reports whether the arguments begin with an option that a batch does not take.
func hasOptions(args []any) bool {
	if len(args) == 0 {
		return false
	}
	switch args[0].(type) {
	case pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
		return true
	}
	return false
}

// Begin implements [pgx.Tx]: a savepoint.
func (p *pipeline) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := p.flush(ctx); err != nil {
		return nil, err
	}
	return p.Tx.Begin(ctx)
}

// CopyFrom implements [pgx.Tx].
func (p *pipeline) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, from pgx.CopyFromSource) (int64, error) {
	if err := p.flush(ctx); err != nil {
		return 0, err
	}
	return p.Tx.CopyFrom(ctx, table, columns, from)
}

// Prepare implements [pgx.Tx].
func (p *pipeline) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if err := p.flush(ctx); err != nil {
		return nil, err
	}
	return p.Tx.Prepare(ctx, name, sql)
}

// LargeObjects implements [pgx.Tx]. After a failure every use of the result fails.
func (p *pipeline) LargeObjects() pgx.LargeObjects {
	_ = p.flush(context.Background()) // the commit returns the error
	return p.Tx.LargeObjects()
}

// Conn implements [pgx.Tx]. It sends what waits, so that what the caller runs on the connection comes
// after it and within the transaction.
func (p *pipeline) Conn() *pgx.Conn {
	_ = p.flush(context.Background()) // the commit returns the error
	return p.conn
}

// Commit implements [pgx.Tx].
func (p *pipeline) Commit(ctx context.Context) error {
	var b pgx.Batch
	b.Queue("COMMIT").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() == "ROLLBACK" { // the caller has ignored the failure of a statement
			return pgx.ErrTxCommitRollback
		}
		return nil
	})
	switch err := p.SendBatch(ctx, &b).Close(); {
	case err == nil:
		p.ended = true
		return nil
	case p.failed != nil:
		return p.failed
	default:
		return attempted("commit transaction")(err)
	}
}

// Rollback implements [pgx.Tx]. It sends nothing when no transaction is open.
func (p *pipeline) Rollback(ctx context.Context) error {
	if p.ended {
		return pgx.ErrTxClosed
	}
	p.ended = true
	if p.Tx == nil || p.conn.IsClosed() || p.conn.PgConn().TxStatus() == 'I' {
		return nil
	}
	return p.Tx.Rollback(ctx)
}

// lastRows are the rows of the last statement of a batch, which ends with them.
type lastRows struct {
	pgx.Rows
	batch pgx.BatchResults
	err   error // of the end of the batch
}

func (r *lastRows) Next() bool {
	if r.Rows.Next() { //nolint:pgxrows // those who read these rows use ForEachRow and CollectRows
		return true
	}
	r.Close()
	return false
}

func (r *lastRows) Close() {
	r.Rows.Close()
	r.err = r.batch.Close()
}

func (r *lastRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

// lastRow is the row of the last statement of a batch, which ends with it.
type lastRow struct {
	pgx.Row
	batch pgx.BatchResults
}

func (r lastRow) Scan(dest ...any) error {
	err := r.Row.Scan(dest...)
	if closed := r.batch.Close(); err == nil {
		err = closed
	}
	return err
}
