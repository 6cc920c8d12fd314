package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/order/order"
)

// CancelOrder requests the cancellation of an order for its customer. The returned order is
// CANCELLING, or CANCELLED when it was already cancelled. The error has kind Conflict when the
// parcel has left and NotFound when the order does not exist. published is the version of the order's
// last published event; see [App.PublishedVersion]. The caller calls committed after the commit.
func (a *App) CancelOrder(ctx context.Context, tx pgx.Tx, orderID, why string) (o order.Order, published int64, committed func(context.Context), err error) {
	cause := causeOf(ctx, orderID)
	in := Input{Message: order.Message{Input: order.RequestCancellation, Detail: why}}
	decisions, err := a.Orders.Run(ctx, tx, a.Orders.Step(orderID, in, cause))
	if err != nil {
		return order.Order{}, 0, nil, err
	}
	decided := decisions[0].State
	if !decided.State.Placed() {
		return decided.Order, 0, nil, errs.New(errs.Conflict, "order %s is %s and was not placed; a draft is discarded", orderID, decided.State)
	}
	if decided.action == order.Refuse {
		return decided.Order, 0, nil, errs.New(errs.Conflict, "order %s is %s and can no longer be cancelled", orderID, decided.State)
	}
	published = decided.Version // what this cancellation appended is published
	if len(decisions[0].Events) == 0 {
		if published, err = a.PublishedVersion(ctx, tx, orderID, decided.Version); err != nil {
			return order.Order{}, 0, nil, err
		}
	}
	return decided.Order, published, func(ctx context.Context) {
		reaction.Committed(telemetry.With(ctx, orderID, "", cause.CorrelationID), decisions...)
	}, nil
}
