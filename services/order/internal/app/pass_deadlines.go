package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/order/internal/db"
	"eventshop.example/services/order/internal/order"
)

const (
	// deadlinePoll bounds how late a deadline is noticed; the shortest deadline is 1 s.
	deadlinePoll = 500 * time.Millisecond
	// deadlineBackoff bounds the pause while the database is away.
	deadlineBackoff = 8 * time.Second
	// deadlineBatch bounds one look at the table; what is left is taken at once after.
	deadlineBatch = 100
)

// RunDeadlines requests the cancellation of orders that are still PENDING at their
// deadline, until ctx ends. Several replicas may run it. It returns only nil: what
// fails is logged and tried again, less often while it goes on failing.
func (a *App) RunDeadlines(ctx context.Context) error {
	wait := deadlinePoll
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		n, err := a.PassDeadlines(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			wait = min(2*wait, deadlineBackoff)
			a.log.WarnContext(ctx, "deadlines not passed; will be tried again", "error", err, "next_try_in", wait.String())
		case n == deadlineBatch:
			wait = 0 // there may be more
		default:
			wait = deadlinePoll
		}
		timer.Reset(wait)
		if wait == 0 {
			wait = deadlinePoll
		}
	}
}

// PassDeadlines takes up to a batch of due deadlines, one transaction each: an
// order that cannot be handled keeps none of the others waiting, and no transaction
// holds locks of two orders. It returns how many were due and what failed.
func (a *App) PassDeadlines(ctx context.Context) (int, error) {
	now := a.now()
	due, err := a.queries.DueDeadlines(ctx, db.DueDeadlinesParams{Now: now, Most: deadlineBatch})
	if err != nil {
		return 0, postgres.Classify(fmt.Errorf("look for due deadlines: %w", err))
	}
	if len(due) > 0 { // asked here, for each transaction below would hold an order's row meanwhile
		if err := a.outbox.CanAppend(ctx, events.TypeOf[events.OrderCancellationRequested](), events.TypeOf[events.OrderSnapshot]()); err != nil {
			return 0, fmt.Errorf("tell of deadlines: %w", err)
		}
	}
	var failed []error
	for _, id := range due {
		if err := a.passDeadline(ctx, id, now); err != nil {
			failed = append(failed, fmt.Errorf("deadline of order %s: %w", id, err))
		}
	}
	if len(due) > 0 {
		a.outbox.Wake()
	}
	return len(due), errors.Join(failed...)
}

func (a *App) passDeadline(ctx context.Context, id uuid.UUID, now time.Time) error {
	err := postgres.InTx(ctx, a.pool, func(tx pgx.Tx) error {
		q := a.queries.WithTx(tx)
		_, err := q.ClaimDeadline(ctx, db.ClaimDeadlineParams{OrderID: id, Now: now})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // another replica has it, or the order was faster
		}
		if err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		// Whatever the order makes of it, a deadline passes once.
		if err := q.RemoveDeadline(ctx, id); err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		in := order.Input{Kind: order.PassDeadline, Detail: "not confirmed in time"}
		_, _, err = a.change(ctx, tx, id.String(), in, causeOf(ctx, id.String()))
		return err
	})
	if errs.KindOf(err) == errs.Conflict {
		return nil // the consumer was at the order; if it is still due, the next tick takes it
	}
	return err
}
