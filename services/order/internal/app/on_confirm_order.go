package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/order"
)

// OnConfirmOrder confirms an orchestrated order. It says what ShipmentScheduled says to a choreographed
// one.
func OnConfirmOrder(e consumer.Event[events.ConfirmOrder]) Input {
	return Input{Message: order.Message{
		Input:      order.ConfirmOrder,
		TrackingID: e.Data.TrackingID,
	}}
}
