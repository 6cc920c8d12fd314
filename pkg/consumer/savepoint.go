package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
)

// savepoint keeps one record's failure from its neighbours in the transaction. When it
// is not on, a failure ends the transaction.
type savepoint struct {
	tx pgx.Tx
	on bool
}

// run runs a handler. failure is the handler's own; err is of the transaction, which
// cannot go on. No savepoint stays open behind it: what the transaction writes between
// two handlers must not be undone by the second.
func (s savepoint) run(ctx context.Context, handler func() error) (failure, err error) {
	if !s.on {
		if failure = postgres.Classify(guard(handler)); failure != nil {
			return nil, fmt.Errorf("%w: %w", errFailing, failure)
		}
		return nil, nil
	}
	if _, err := s.tx.Exec(ctx, `SAVEPOINT record`); err != nil {
		return nil, postgres.Classify(fmt.Errorf("set savepoint: %w", err))
	}
	failure = postgres.Classify(guard(handler))
	if failure == nil {
		if _, err := s.tx.Exec(ctx, `RELEASE SAVEPOINT record`); err == nil {
			return nil, nil
		} else {
			// It fails where the handler has swallowed an error of the database.
			failure = postgres.Classify(fmt.Errorf("release savepoint: %w", err))
		}
	}
	if _, err := s.tx.Exec(ctx, `ROLLBACK TO SAVEPOINT record; RELEASE SAVEPOINT record`); err != nil {
		return nil, postgres.Classify(fmt.Errorf("roll back to savepoint after %q: %w", failure, err))
	}
	return failure, nil
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
