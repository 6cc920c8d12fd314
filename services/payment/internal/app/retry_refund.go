package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/payment/payment"
)

// RetryRefund starts another round of attempts at once, on an operator's command. It applies to
// money that could not be returned or is waiting for its next attempt. The error has kind NotFound
// when there is no such payment and Conflict when the payment has nothing to return. The caller
// calls committed after the commit.
func (a *App) RetryRefund(ctx context.Context, tx pgx.Tx, orderID string) (committed func(context.Context), err error) {
	in := Input{Kinds: []payment.Input{payment.RetryRefund}, MustExist: true}
	decisions, err := a.Payments.Run(ctx, tx, a.Payments.Step(orderID, in, outbox.Cause{}))
	if err != nil && errs.KindOf(err) == errs.NotFound {
		return nil, notFound(orderID) // without the words that Run adds, because operators read it
	}
	if err != nil {
		return nil, err
	}
	if p := decisions[0].State; p.last == payment.Refuse {
		reaction.Committed(ctx, decisions...) // a refusal has no effect to wait for, and it counts as a decision
		return nil, errs.New(errs.Conflict, "the payment of order %s is %s: there is no refund to retry", orderID, p.state())
	}
	return func(ctx context.Context) { reaction.Committed(ctx, decisions...) }, nil
}

func notFound(orderID string) error {
	return errs.New(errs.NotFound, "there is no payment of order %s", orderID)
}
