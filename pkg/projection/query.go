package projection

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"
)

// beforeQuery sends a query with the first query of its caller, before it, in one round trip.
type beforeQuery struct {
	pgx.Tx
	sql  string
	args []any
	read func(pgx.Rows) error
	sent bool
}

// Query implements [pgx.Tx].
func (q *beforeQuery) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if q.sent {
		return q.Tx.Query(ctx, sql, args...)
	}
	q.sent = true
	var b pgx.Batch
	b.Queue(q.sql, q.args...)
	b.Queue(sql, args...)
	results := q.SendBatch(ctx, &b)
	rows, err := results.Query()
	if err == nil {
		err = q.read(rows)
	}
	if err != nil {
		_ = results.Close() // returns the same error
		return nil, err
	}
	rows, err = results.Query()
	return &lastRows{Rows: rows, batch: results}, err
}

// flush sends the query when the caller sent none.
func (q *beforeQuery) flush(ctx context.Context) error {
	if q.sent {
		return nil
	}
	rows, err := q.Tx.Query(ctx, q.sql, q.args...)
	if err != nil {
		return err
	}
	return q.read(rows)
}

// lastRows are the rows of the last query of a batch, which ends with them.
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

func (r *lastRows) Err() error { return cmp.Or(r.Rows.Err(), r.err) }
