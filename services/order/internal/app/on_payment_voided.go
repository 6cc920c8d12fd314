package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/order"
)

// OnPaymentVoided ends an order that was cancelled before any money was taken.
func (a *App) OnPaymentVoided(ctx context.Context, tx pgx.Tx, e consumer.Event[events.PaymentVoided]) error {
	return a.react(ctx, tx, e.Data.OrderID, order.Input{
		Kind:   order.PaymentVoided,
		Reason: e.Data.Reason,
	}, e.Cause())
}
