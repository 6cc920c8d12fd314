package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/backoff"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/order/internal/db"
	"eventshop.example/services/order/order"
)

const (
	// deadlinePoll bounds the delay in noticing a deadline. The shortest deadline is 1 s.
	deadlinePoll = 500 * time.Millisecond
	// deadlineMaxWait bounds the pause while the database is unavailable.
	deadlineMaxWait = 8 * time.Second
	// deadlineBatch bounds one query. When a batch is full, the next query follows at once.
	deadlineBatch = 100
)

// RunDeadlines requests the cancellation of orders that are still PENDING at their deadline. It
// runs until ctx ends, and several replicas may run it. It always returns nil. It logs failures and
// tries again, with growing pauses while the failures continue.
func (a *App) RunDeadlines(ctx context.Context) error {
	failures, pause := 0, backoff.Policy{Base: deadlinePoll, Max: deadlineMaxWait}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		n, err := a.PassDeadlines(ctx)
		wait := deadlinePoll
		switch {
		case err != nil && ctx.Err() == nil:
			failures++
			wait = pause.Wait(failures)
			a.warnOfDeadlines(ctx, err, wait)
		case n == deadlineBatch:
			failures, wait = 0, 0 // there may be more
		default:
			failures = 0
		}
		timer.Reset(wait)
	}
}

// warnOfDeadlines logs each failure. A failure that concerns one order gets a line of its own.
func (a *App) warnOfDeadlines(ctx context.Context, err error, wait time.Duration) {
	failed := []error{err}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		failed = all.Unwrap()
	}
	for _, err := range failed {
		ctx := ctx
		if late, ok := errors.AsType[*deadlineError](err); ok {
			ctx = telemetry.With(ctx, late.orderID.String(), "", "")
		}
		a.log.WarnContext(ctx, "deadlines not passed; will be tried again", "error", err, "nextTryIn", wait.String())
	}
}

// deadlineError reports that the deadline of one order could not be processed.
type deadlineError struct {
	orderID uuid.UUID
	err     error
}

func (e *deadlineError) Error() string {
	return fmt.Sprintf("deadline of order %s: %v", e.orderID, e.err)
}
func (e *deadlineError) Unwrap() error { return e.err }

// PassDeadlines processes up to one batch of due deadlines as one set, in one transaction. When that
// fails, each has a transaction of its own, so that an order that fails does not delay the others. It
// returns the number of due deadlines and the joined failures.
func (a *App) PassDeadlines(ctx context.Context) (int, error) {
	now := a.now()
	due, err := a.queries.DueDeadlines(ctx, db.DueDeadlinesParams{Now: now, Most: deadlineBatch})
	if err != nil {
		return 0, postgres.Classify(fmt.Errorf("look for due deadlines: %w", err))
	}
	if len(due) == 0 {
		return 0, nil
	}
	// Checked here, because the transactions below would hold the orders' rows meanwhile.
	if err := a.outbox.CanAppend(ctx, events.TypeOf[events.OrderCancellationRequested](), events.TypeOf[events.OrderSnapshot]()); err != nil {
		return 0, fmt.Errorf("tell of deadlines: %w", err)
	}
	defer a.outbox.Wake()
	if a.passDeadlines(ctx, due...) == nil {
		return len(due), nil
	}
	var failed []error
	for _, d := range due {
		if err := a.passDeadlines(ctx, d); err != nil {
			failed = append(failed, &deadlineError{d.OrderID, err})
		}
	}
	return len(due), errors.Join(failed...)
}

// passDeadlines passes deadlines in one transaction.
func (a *App) passDeadlines(ctx context.Context, due ...db.DueDeadlinesRow) error {
	steps := make([]reaction.Step[Input], len(due))
	for i, d := range due {
		id := d.OrderID.String()
		cause := causeOf(telemetry.Continue(ctx, d.Traceparent, d.Tracestate), id)
		steps[i] = a.Orders.Step(id, Input{Message: order.Message{Input: order.PassDeadline, Detail: "not confirmed in time"}}, cause)
	}
	var decisions []reaction.Decision[Order]
	err := postgres.InPipeline(ctx, a.pool, func(tx pgx.Tx) (err error) {
		decisions, err = a.Orders.Run(ctx, tx, steps...)
		return err
	})
	switch {
	case errors.Is(err, reaction.ErrOvertaken) && len(due) == 1:
		return nil // if the deadline is still due, the next poll takes it
	case err != nil:
		return err
	}
	for i, d := range decisions {
		ctx := telemetry.Continue(ctx, due[i].Traceparent, due[i].Tracestate)
		reaction.Committed(telemetry.With(ctx, steps[i].Key, "", steps[i].Cause.CorrelationID), d)
	}
	return nil
}
