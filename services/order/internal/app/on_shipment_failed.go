package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/order"
)

// OnShipmentFailed notes why the order will end; it ends when the money is back
// (OnPaymentRefunded).
func (a *App) OnShipmentFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentFailed]) error {
	return a.react(ctx, tx, e.Data.OrderID, order.Input{
		Kind:   order.ShipmentFailed,
		Reason: e.Data.Reason,
		Detail: e.Data.Detail,
	}, e.Cause())
}
