package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

const (
	// savepointRecords is how many handlers share a savepoint while records fail. A
	// failure makes those before it in its savepoint run again; with one failure in
	// twenty records, six to a savepoint cost the fewest round trips.
	savepointRecords = 6
	// carefulBatch is the most records in a transaction with savepoints. PostgreSQL keeps
	// 64 subtransactions of a session in shared memory; beyond that every other session
	// has to look them up elsewhere (PGPROC_MAX_CACHED_SUBXIDS).
	carefulBatch = 60 * savepointRecords
)

// savepoints keeps records' failures from their neighbours in a transaction.
type savepoints struct{ tx pgx.Tx }

// run runs handlers 0 to n-1 in one savepoint, up to the first that fails. done is how
// many have had their effect, failure is that of the one behind them; err is of the
// transaction, which cannot go on. A handler may run more than once; its last run
// counts. No savepoint stays open behind it: what the transaction writes between two
// runs must not be undone by the second.
func (s savepoints) run(ctx context.Context, n int, handler func(i int) error) (done int, failure, err error) {
	for {
		if n == 0 {
			return 0, failure, nil
		}
		if _, err := s.tx.Exec(ctx, `SAVEPOINT handlers`); err != nil {
			return 0, nil, postgres.Classify(fmt.Errorf("set savepoint: %w", err))
		}
		failed, cause := first(n, handler)
		if cause == nil {
			_, cause = s.tx.Exec(ctx, `RELEASE SAVEPOINT handlers`)
			if cause == nil {
				return n, failure, nil
			}
			// It fails where a handler has swallowed an error of the database. Whose it is
			// shows when each has a savepoint of its own.
			cause = postgres.Classify(fmt.Errorf("release savepoint: %w", cause))
		}
		if _, err := s.tx.Exec(ctx, `ROLLBACK TO SAVEPOINT handlers; RELEASE SAVEPOINT handlers`); err != nil {
			return 0, nil, postgres.Classify(fmt.Errorf("roll back to savepoint after %q: %w", cause, err))
		}
		if failed == n && n > 1 {
			return s.each(ctx, n, handler)
		}
		// Those before it again, without it.
		n, failure = min(failed, n-1), cause
	}
}

// each gives every handler a savepoint of its own.
func (s savepoints) each(ctx context.Context, n int, handler func(i int) error) (done int, failure, err error) {
	for i := range n {
		_, failure, err := s.run(ctx, 1, func(int) error { return handler(i) })
		if failure != nil || err != nil {
			return i, failure, err
		}
	}
	return n, nil, nil
}

// first runs handlers until one fails and returns which; n when none does.
func first(n int, handler func(i int) error) (failed int, failure error) {
	for i := range n {
		if err := postgres.Classify(guard(func() error { return handler(i) })); err != nil {
			return i, err
		}
	}
	return n, nil
}

// panicked is a panic as an error.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// stackOf returns where a failure comes from: the handler that panicked, or else the
// place that calls.
func stackOf(err error) []byte {
	if p, ok := errors.AsType[*panicked](err); ok {
		return p.stack
	}
	return debug.Stack()
}

// guard turns a panic into an error that carries the stack: a bug in a handler
// is that record's failure, not the end of the process.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	return f()
}
