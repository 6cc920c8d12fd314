package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/order"
)

// OnPaymentRefunded ends an order that was being undone: the money is back, and
// what was reserved goes back by inventory's own reaction to the failure.
func (a *App) OnPaymentRefunded(ctx context.Context, tx pgx.Tx, e consumer.Event[events.PaymentRefunded]) error {
	return a.react(ctx, tx, e.Data.OrderID, order.Input{
		Kind:   order.PaymentRefunded,
		Reason: e.Data.Reason,
	}, e.Cause())
}
