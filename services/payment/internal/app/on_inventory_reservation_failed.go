package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/payment"
)

// OnInventoryReservationFailed gives the money back: there is nothing to sell. What
// inventory says about the shortage is in its own event; for the customer it is
// "out_of_stock", an unknown SKU as well.
func (a *App) OnInventoryReservationFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.InventoryReservationFailed]) error {
	return a.react(ctx, tx, step{
		orderID: e.Data.OrderID, inputs: []payment.Input{payment.InventoryReservationFailed},
		cause: e.Cause(), reason: reasonOutOfStock,
	})
}
