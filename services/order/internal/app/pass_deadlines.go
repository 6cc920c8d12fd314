package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/backoff"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/pkg/worker"
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
	return worker.Loop{
		Every: deadlinePoll, Failing: backoff.Policy{Base: deadlinePoll, Max: deadlineMaxWait},
		Round: func(ctx context.Context) (more bool, err error) {
			n, err := a.PassDeadlines(ctx)
			return n == deadlineBatch, err
		},
		Failed: func(ctx context.Context, err error, _ int, pause time.Duration) {
			worker.Warn(ctx, a.log, "deadlines not passed; will be tried again", err, pause)
		},
	}.Run(ctx)
}

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
	return len(due), worker.Each(ctx, due, func(d db.DueDeadlinesRow) string { return d.OrderID.String() }, a.passDeadlines)
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
