package app

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/backoff"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/pkg/worker"
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
	return worker.Loop{
		Every: duePoll, Failing: backoff.Policy{Base: duePoll, Max: dueMaxWait},
		Round: func(ctx context.Context) (more bool, err error) {
			n, err := a.PassDue(ctx)
			if err == nil && n < dueBatch {
				a.count(ctx)
			}
			return n == dueBatch, err
		},
		Failed: func(ctx context.Context, err error, _ int, pause time.Duration) {
			worker.Warn(ctx, a.log, "late answers not noted; will be tried again", err, pause)
		},
	}.Run(ctx)
}

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
	return len(due), worker.Each(ctx, due, func(d db.DueSagasRow) string { return d.OrderID }, a.passDue)
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
