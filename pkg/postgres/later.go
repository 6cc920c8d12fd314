package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Later returns q for statements whose result is not needed. Within [InPipeline] its Exec only notes
// the statement and returns an empty CommandTag and nil; the statement is sent with the next one whose
// result is needed, or with COMMIT. Anywhere else Exec runs the statement at once. The caller must not
// change the arguments before the transaction has ended.
//
// failed returns the error of a statement as the caller wants it, such as with what was attempted and
// with its kind. It is called wherever the error appears. Where q itself comes from Later, the
// function of q is applied to the result.
//
// Query and QueryRow are those of q. They need their results at once.
func Later(q Querier, failed func(error) error) Querier { return &later{q, failed} }

type later struct {
	Querier
	failed func(error) error
}

func (l *later) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	switch q := l.Querier.(type) {
	case *pipeline:
		return pgconn.CommandTag{}, q.later(queued{sql, args, l.failed})
	case *named:
		outer := &later{q.Tx, func(err error) error { return q.failed(l.failed(err)) }}
		return outer.Exec(ctx, sql, args...)
	case *later:
		outer := &later{q.Querier, func(err error) error { return q.failed(l.failed(err)) }}
		return outer.Exec(ctx, sql, args...)
	}
	tag, err := l.Querier.Exec(ctx, sql, args...)
	if err != nil {
		err = l.failed(err)
	}
	return tag, err
}

// Named returns tx for a part of the transaction whose statements that wait have to be told from those
// of others: failed is applied to the error of each statement that [Later] makes of the result. Errors
// that the statements return at once are unchanged; the caller of the part receives them anyway.
func Named(tx pgx.Tx, failed func(error) error) pgx.Tx { return &named{tx, failed} }

type named struct {
	pgx.Tx
	failed func(error) error
}
