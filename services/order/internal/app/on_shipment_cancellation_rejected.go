package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/order"
)

// OnShipmentCancellationRejected records that the cancellation came too late. The dispatch itself
// is a separate event.
func OnShipmentCancellationRejected(e consumer.Event[events.ShipmentCancellationRejected]) Input {
	return Input{Message: order.Message{
		Input:  order.ShipmentCancellationRejected,
		Reason: e.Data.Reason,
	}}
}
