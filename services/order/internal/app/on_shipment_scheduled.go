package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/order"
)

// OnShipmentScheduled confirms the order: the last step before the pivot is done.
func (a *App) OnShipmentScheduled(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentScheduled]) error {
	return a.react(ctx, tx, e.Data.OrderID, order.Input{
		Kind:       order.ShipmentScheduled,
		TrackingID: e.Data.TrackingID,
	}, e.Cause())
}
