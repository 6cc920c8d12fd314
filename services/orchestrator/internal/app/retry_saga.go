package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/orchestrator/orchestrator"
)

// RetrySaga sends the command of the saga's state again, with a new id. The error has kind NotFound when
// there is no saga of the order, and Conflict when its state waits for no answer. The caller calls
// committed after the commit.
func (a *App) RetrySaga(ctx context.Context, tx pgx.Tx, orderID string) (committed func(context.Context), err error) {
	decisions, err := a.Sagas.Run(ctx, tx, a.Sagas.Step(orderID, Input{Kind: orchestrator.Retry}, outbox.Cause{}))
	if err != nil && errs.KindOf(err) == errs.NotFound {
		return nil, notFound(orderID) // without the words that Run adds, because operators read it
	}
	if err != nil {
		return nil, err
	}
	if g := decisions[0].State; g.last.Effect == orchestrator.NoEffect {
		return nil, errs.New(errs.Conflict, "the saga of order %s is %s and waits for no answer: there is no command to send again", orderID, StateName(g.row.State))
	}
	return func(ctx context.Context) { reaction.Committed(ctx, decisions...) }, nil
}
