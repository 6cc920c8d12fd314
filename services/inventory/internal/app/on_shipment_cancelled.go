package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/internal/inventory"
)

// OnShipmentCancelled compensates: shipping has decided that the parcel stays, so
// what was reserved goes back, and what was not is refused from now on.
func (a *App) OnShipmentCancelled(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentCancelled]) error {
	return a.react(ctx, tx, step{orderID: e.Data.OrderID, input: inventory.ShipmentCancelled, cause: e.Cause(), reason: e.Data.Reason})
}
