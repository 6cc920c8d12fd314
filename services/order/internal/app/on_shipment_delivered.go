package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/order"
)

// OnShipmentDelivered ends the order well.
func (a *App) OnShipmentDelivered(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentDelivered]) error {
	return a.react(ctx, tx, e.Data.OrderID, order.Input{
		Kind:        order.ShipmentDelivered,
		DeliveredAt: e.Data.DeliveredAt,
	}, e.Cause())
}
