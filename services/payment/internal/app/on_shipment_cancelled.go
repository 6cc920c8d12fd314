package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/payment"
)

// Why money goes back, or is not taken: the vocabulary of PaymentRefunded and
// PaymentVoided.
const (
	reasonOutOfStock     = "out_of_stock"
	reasonShipmentFailed = "shipment_failed"
	reasonCustomer       = "customer"
	reasonDeadline       = "deadline"
)

// OnShipmentCancelled undoes the payment: nothing will be shipped. This may well be the
// first that payment hears of the order.
func (a *App) OnShipmentCancelled(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentCancelled]) error {
	reason := e.Data.Reason
	if reason != reasonCustomer && reason != reasonDeadline {
		reason = reasonShipmentFailed // called off at the carrier, nobody here asked for it
	}
	return a.react(ctx, tx, step{
		orderID: e.Data.OrderID, inputs: []payment.Input{payment.ShipmentCancelled},
		cause: e.Cause(), reason: reason,
	})
}
