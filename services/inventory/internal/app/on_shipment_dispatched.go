package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/internal/inventory"
)

// OnShipmentDispatched books the reserved pieces out: they have left the building.
func (a *App) OnShipmentDispatched(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentDispatched]) error {
	return a.react(ctx, tx, step{orderID: e.Data.OrderID, input: inventory.ShipmentDispatched, cause: e.Cause()})
}
