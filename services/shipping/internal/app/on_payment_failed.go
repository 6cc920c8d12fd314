package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/shipping"
)

// OnPaymentFailed gives the shipment up: what is not paid is not shipped.
func (a *App) OnPaymentFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.PaymentFailed]) error {
	return a.react(ctx, tx, step{
		orderID: e.Data.OrderID, input: shipping.PaymentFailed, cause: e.Cause(), reason: "payment_failed", detail: e.Data.Reason,
	})
}
