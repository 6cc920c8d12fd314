package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/orchestrator/orchestrator"
)

// acknowledged is the input of an operator who has settled what a saga asks for. The table has no such
// input: it changes no state and sends no command.
const acknowledged orchestrator.Input = "Acknowledged"

// AcknowledgeSaga ends the attention of a saga that no answer to a command will end, mostly of one that
// has ended. by is the operator's name, which may be empty, and note is for the log. The error has kind
// NotFound when there is no saga of the order, and Conflict when there is nothing to acknowledge. The caller
// calls committed after the commit.
func (a *App) AcknowledgeSaga(ctx context.Context, tx pgx.Tx, orderID, by, note string) (committed func(context.Context), err error) {
	in := Input{Kind: acknowledged, Reason: by, Detail: note}
	decisions, err := a.Sagas.Run(ctx, tx, a.Sagas.Step(orderID, in, outbox.Cause{}))
	if err != nil && errs.KindOf(err) == errs.NotFound {
		return nil, notFound(orderID) // without the words that Run adds, because operators read it
	}
	if err != nil {
		return nil, err
	}
	switch g := decisions[0].State; {
	case g.last.Action == orchestrator.Apply:
		return func(ctx context.Context) { reaction.Committed(ctx, decisions...) }, nil
	case g.row.Attention == "":
		return nil, errs.New(errs.Conflict, "the saga of order %s is %s and asks for no attention", orderID, StateName(g.row.State))
	case g.state() == orchestrator.None:
		return nil, errs.New(errs.Conflict, "the saga of order %s did not begin: it asks for attention as long as its order is not settled", orderID)
	default:
		return nil, errs.New(errs.Conflict, "the saga of order %s is %s and waits for the answer to a command, which ends the attention", orderID, StateName(g.row.State))
	}
}

// acknowledge decides about an acknowledgement. A saga that waits for an answer keeps its attention, because
// its time limit passes only once.
func acknowledge(definition orchestrator.Definition, g Saga) orchestrator.Decision {
	d := orchestrator.Decision{Action: orchestrator.Duplicate, Next: g.state()}
	waits := orchestrator.Decide(definition, g.state(), orchestrator.Retry).Effect != orchestrator.NoEffect
	if g.row.Attention != "" && g.state() != orchestrator.None && !waits {
		d.Action = orchestrator.Apply
	}
	return d
}
