package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/payment"
)

// OnShipmentFailed gives the money back: the carrier does not take the parcel.
func (a *App) OnShipmentFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentFailed]) error {
	return a.react(ctx, tx, step{
		orderID: e.Data.OrderID, inputs: []payment.Input{payment.ShipmentFailed},
		cause: e.Cause(), reason: reasonShipmentFailed,
	})
}
