package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/backoff"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/orchestrator/internal/db"
	"eventshop.example/services/orchestrator/orchestrator"
)

const (
	// duePoll bounds the delay in noticing a late answer. Time limits are half a minute and only ask
	// for a person.
	duePoll = time.Second
	// dueMaxWait bounds the pause while the database is unavailable.
	dueMaxWait = 8 * time.Second
	// dueBatch bounds one query. When a batch is full, the next query follows at once.
	dueBatch = 100
)

// RunDue passes the time limits of sagas whose answers are late. It runs until ctx ends, and several
// processes may run it. It always returns nil. It logs failures and tries again, with growing pauses
// while the failures continue.
//
// A time limit that passes asks for a person. It sends no command: the outbox delivers the command that
// was sent, however late, and a second one would not be faster.
func (a *App) RunDue(ctx context.Context) error {
	failures, pause := 0, backoff.Policy{Base: duePoll, Max: dueMaxWait}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		n, err := a.PassDue(ctx)
		wait := duePoll
		switch {
		case err != nil && ctx.Err() == nil:
			failures++
			wait = pause.Wait(failures)
			a.warnOfDue(ctx, err, wait)
		case n == dueBatch:
			failures, wait = 0, 0 // there may be more
		default:
			failures = 0
			a.count(ctx)
		}
		timer.Reset(wait)
	}
}

// warnOfDue logs each failure. A failure that concerns one saga gets a line of its own.
func (a *App) warnOfDue(ctx context.Context, err error, wait time.Duration) {
	failed := []error{err}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		failed = all.Unwrap()
	}
	for _, err := range failed {
		ctx := ctx
		if late, ok := errors.AsType[*dueError](err); ok {
			ctx = telemetry.With(ctx, late.orderID, "", "")
		}
		a.log.WarnContext(ctx, "late answers not noted; will be tried again", "error", err, "nextTryIn", wait.String())
	}
}

// dueError reports that the time limit of one saga could not be processed.
type dueError struct {
	orderID string
	err     error
}

func (e *dueError) Error() string { return fmt.Sprintf("time limit of order %s: %v", e.orderID, e.err) }
func (e *dueError) Unwrap() error { return e.err }

// PassDue processes up to one batch of time limits that have passed as one set, in one transaction. When
// that fails, each has a transaction of its own, so that a saga that fails does not delay the others. It
// returns their number and the joined failures. It leaves out sagas whose definition this program does
// not know.
func (a *App) PassDue(ctx context.Context) (int, error) {
	p := db.DueSagasParams{Most: dueBatch}
	now := a.now()
	p.Now = &now
	for _, d := range a.definitions {
		p.Definitions = append(p.Definitions, int32(d.Version))
	}
	due, err := db.New(a.pool).DueSagas(ctx, p)
	if err != nil {
		return 0, postgres.Classify(fmt.Errorf("look for late answers: %w", err))
	}
	if len(due) == 0 || a.passDue(ctx, due...) == nil {
		return len(due), nil
	}
	var failed []error
	for _, d := range due {
		if err := a.passDue(ctx, d); err != nil {
			failed = append(failed, &dueError{d.OrderID, err})
		}
	}
	return len(due), errors.Join(failed...)
}

// passDue passes time limits in one transaction.
func (a *App) passDue(ctx context.Context, due ...db.DueSagasRow) error {
	steps := make([]reaction.Step[Input], len(due))
	for i, d := range due {
		steps[i] = a.Sagas.Step(d.OrderID, Input{Kind: orchestrator.DuePassed}, outbox.Cause{})
	}
	var decisions []reaction.Decision[Saga]
	err := postgres.InPipeline(ctx, a.pool, func(tx pgx.Tx) (err error) {
		decisions, err = a.Sagas.Run(ctx, tx, steps...)
		return err
	})
	if err != nil {
		return err
	}
	for i, d := range decisions {
		reaction.Committed(telemetry.Continue(ctx, due[i].Traceparent, due[i].Tracestate), d)
	}
	return nil
}

func (a *App) count(ctx context.Context) {
	n, err := db.New(a.pool).CountAttention(ctx)
	if err != nil {
		return // PassDue reports an unavailable database
	}
	a.metrics.attention.Set(float64(n))
}
