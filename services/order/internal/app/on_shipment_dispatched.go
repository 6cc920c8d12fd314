package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/order"
)

// OnShipmentDispatched makes the order SHIPPED, even when a cancellation was pending, because the
// parcel has left.
func OnShipmentDispatched(e consumer.Event[events.ShipmentDispatched]) Input {
	return Input{Message: order.Message{
		Input:      order.ShipmentDispatched,
		TrackingID: e.Data.TrackingID,
	}}
}
