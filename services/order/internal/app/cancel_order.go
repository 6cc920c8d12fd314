package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/order/internal/order"
)

// cancelTries is how often CancelOrder decides anew when another writer was faster.
// An order's life has about five changes, so a caller that loses this often has met
// all of them.
const cancelTries = 5

// CancelOrder asks for an order's cancellation on behalf of its customer. The order
// returned is CANCELLING, or CANCELLED when that is over already. An order that has
// left is of kind Conflict, an unknown one NotFound.
func (a *App) CancelOrder(ctx context.Context, tx pgx.Tx, orderID, why string) (order.Order, error) {
	in := order.Input{Kind: order.RequestCancellation, Detail: why}
	var o order.Order
	var decision order.Decision
	var err error
	for range cancelTries {
		// A savepoint, because a lost race spoils the transaction and the caller's
		// has more in it (the idempotency key).
		err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			o, decision, err = a.change(ctx, tx, orderID, in, causeOf(ctx, orderID))
			return err
		})
		if errs.KindOf(err) != errs.Conflict {
			break
		}
	}
	switch {
	case errs.KindOf(err) == errs.Conflict:
		return o, errs.Wrap(errs.Transient, err, "order is changing; try again") // not an answer about the order
	case err != nil:
		return o, err
	}
	if decision.Outcome == order.Refuse {
		return o, errs.New(errs.Conflict, "order %s is %s and can no longer be cancelled", orderID, o.Status)
	}
	return o, nil
}
