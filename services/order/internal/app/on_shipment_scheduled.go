package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/order"
)

// OnShipmentScheduled confirms the order. Scheduling is the last step before the pivot.
func OnShipmentScheduled(e consumer.Event[events.ShipmentScheduled]) Input {
	return Input{Message: order.Message{
		Input:      order.ShipmentScheduled,
		TrackingID: e.Data.TrackingID,
	}}
}
