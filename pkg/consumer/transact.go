package consumer

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/postgres"
)

// databaseTimeout bounds one batch's transaction. Handlers take milliseconds; a
// database that is merely slow gets its time.
const databaseTimeout = 30 * time.Second

// transact runs the batch in one transaction. When a record is at fault it is
// returned beside the error.
func (c *Consumer) transact(ctx context.Context, shares []share) (failed *item, err error) {
	now := time.Now()
	// A connection that died without a word would hold the loop, and with it the
	// partitions, until the system gives it up after a quarter of an hour.
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	err = postgres.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		failed = nil
		fresh, err := c.receive(ctx, tx, shares)
		if err != nil {
			return err
		}
		for _, s := range shares {
			for _, it := range s.items() {
				if it.kind == foreign {
					it.outcome = ignored
					continue
				}
				if !fresh[it.id] {
					it.outcome = duplicate
					continue
				}
				fresh[it.id] = false // the same event may stand in the batch twice
				if err := c.apply(ctx, tx, it, s.q.attempts+1, now); err != nil {
					failed = it
					return err
				}
			}
		}
		return nil
	})
	switch {
	case err == nil:
		return nil, nil
	case ctx.Err() != nil:
		return nil, errs.Wrap(errs.Transient, err, "the database took too long") // nobody's fault
	default:
		return failed, err
	}
}

func (c *Consumer) receive(ctx context.Context, tx pgx.Tx, shares []share) (map[uuid.UUID]bool, error) {
	var msgs []inbox.Message
	for _, s := range shares {
		for _, it := range s.items() {
			if it.kind != foreign {
				msgs = append(msgs, inbox.Message{ID: it.id, Type: it.typeName()})
			}
		}
	}
	if len(msgs) == 0 {
		return map[uuid.UUID]bool{}, nil
	}
	// Two processes that receive overlapping batches take the inbox rows in the
	// same order, so one waits for the other instead of both for each other.
	slices.SortFunc(msgs, func(a, b inbox.Message) int { return slices.Compare(a.ID[:], b.ID[:]) })
	fresh, err := inbox.Receive(ctx, tx, c.cfg.Group, msgs)
	if err != nil {
		return nil, fmt.Errorf("receive into inbox: %w", err)
	}
	return fresh, nil
}

// apply gives one fresh record its effect inside the transaction.
func (c *Consumer) apply(ctx context.Context, tx pgx.Tx, it *item, attempt int, now time.Time) error {
	if it.kind == rubbish {
		raw, err := c.deadLetterOf(it, attempt, now)
		if err != nil {
			return err
		}
		it.outcome = deadLetter
		return c.cfg.Outbox.AppendRaw(ctx, tx, raw)
	}
	if it.sub.call != nil && !it.called {
		// The pre-check said duplicate and the insert says fresh: the row it saw was
		// pruned in between. The next try makes the call.
		return errs.New(errs.Transient, "%s %s was not called for", it.typeName(), it.id)
	}
	err := guard(func() error {
		return it.sub.handle(c.contextOf(ctx, it), tx, it.event, it.result)
	})
	if err != nil {
		return err
	}
	it.outcome = handled
	return nil
}

// guard turns a panic into an error that carries the stack: a bug in a handler
// is that record's failure, not the end of the process.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errs.New(errs.Internal, "panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
