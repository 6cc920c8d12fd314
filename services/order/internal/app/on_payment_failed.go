package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/order"
)

// OnPaymentFailed ends the order: nothing was charged, so nothing has to be undone.
func (a *App) OnPaymentFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.PaymentFailed]) error {
	return a.react(ctx, tx, e.Data.OrderID, order.Input{
		Kind:   order.PaymentFailed,
		Reason: e.Data.Reason,
		Detail: e.Data.Detail,
	}, e.Cause())
}
