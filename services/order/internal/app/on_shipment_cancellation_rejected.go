package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/order"
)

// OnShipmentCancellationRejected notes that the cancellation came too late; the
// dispatch that says so is an event of its own.
func (a *App) OnShipmentCancellationRejected(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentCancellationRejected]) error {
	return a.react(ctx, tx, e.Data.OrderID, order.Input{
		Kind:   order.ShipmentCancellationRejected,
		Reason: e.Data.Reason,
	}, e.Cause())
}
