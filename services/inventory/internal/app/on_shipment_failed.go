package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/internal/inventory"
)

// OnShipmentFailed compensates: the carrier does not take the parcel, so what was
// reserved for it goes back.
func (a *App) OnShipmentFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentFailed]) error {
	return a.react(ctx, tx, step{orderID: e.Data.OrderID, input: inventory.ShipmentFailed, cause: e.Cause(), reason: "shipment_failed"})
}
