package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/shipping"
)

// OnInventoryReservationFailed gives the shipment up: there is nothing to ship.
func (a *App) OnInventoryReservationFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.InventoryReservationFailed]) error {
	return a.react(ctx, tx, step{
		orderID: e.Data.OrderID, input: shipping.InventoryReservationFailed, cause: e.Cause(), reason: e.Data.Reason,
	})
}
