package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/order"
)

// OnPaymentRefundFailed shows the order as one a person has to look at. A refund
// that works out later still ends it.
func (a *App) OnPaymentRefundFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.PaymentRefundFailed]) error {
	return a.react(ctx, tx, e.Data.OrderID, order.Input{
		Kind:   order.PaymentRefundFailed,
		Reason: e.Data.Reason,
	}, e.Cause())
}
