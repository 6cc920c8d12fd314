package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/orchestrator/internal/db"
	"eventshop.example/services/orchestrator/orchestrator"
)

// acknowledged is the input of an operator who has settled what a saga asks for. The table has no such
// input: it changes no state and sends no command.
const acknowledged orchestrator.Input = "Acknowledged"

// AcknowledgeSaga ends the attention of a saga that no answer to a command will end: what is unexplained,
// or anything where no answer is open. by is the operator's name, which may be empty, and note is for the log.
// lines is how many lines of the log the operator has seen; 0: however many there are. The error has kind
// NotFound when there is no saga of the order, and Conflict when there is nothing to acknowledge or the log
// has more lines. The caller calls committed after the commit.
func (a *App) AcknowledgeSaga(ctx context.Context, tx pgx.Tx, orderID, by, note string, lines int32) (committed func(context.Context), err error) {
	in := Input{Kind: acknowledged, Reason: by, Detail: note, seen: lines}
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
	case lines > 0 && g.row.LogLines > lines:
		return nil, errs.New(errs.Conflict, "the log of the saga of order %s has %d lines now, and not %d: look again", orderID, g.row.LogLines, lines)
	case g.row.Attention == "":
		return nil, errs.New(errs.Conflict, "the saga of order %s is %s and asks for no attention", orderID, StateName(g.row.State))
	default:
		return nil, errs.New(errs.Conflict, "the saga of order %s is %s and waits for the answer to a command, which ends the attention", orderID, StateName(g.row.State))
	}
}

// acknowledge decides about an acknowledgement.
func acknowledge(definition orchestrator.Definition, g Saga, in Input) orchestrator.Decision {
	d := orchestrator.Decision{Action: orchestrator.Duplicate, Next: g.state()}
	known := in.seen == 0 || g.row.LogLines <= in.seen
	if known && g.row.Attention != "" && (g.row.Unexplained || open(definition, g.state()) == orchestrator.NoEffect) {
		d.Action = orchestrator.Apply
	}
	return d
}

// settle ends a row's attention, but not that for an answer which is late: its time limit passes only once.
func settle(row *db.Saga, definition orchestrator.Definition, s reaction.Step[Input]) {
	row.Attention, row.Unexplained = "", false
	if state := orchestrator.State(row.State); definition.Due(state) > 0 && row.DueAt == nil {
		s.Input = Input{Kind: orchestrator.DuePassed}
		row.Attention = attention(definition, *row, s)
	}
}
