package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/order"
)

// OnShipmentDispatched makes the order SHIPPED, also when a cancellation was under
// way: the parcel has left.
func (a *App) OnShipmentDispatched(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentDispatched]) error {
	return a.react(ctx, tx, e.Data.OrderID, order.Input{
		Kind:       order.ShipmentDispatched,
		TrackingID: e.Data.TrackingID,
	}, e.Cause())
}
