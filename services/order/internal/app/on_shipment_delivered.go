package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/order"
)

// OnShipmentDelivered ends the order as DELIVERED.
func OnShipmentDelivered(e consumer.Event[events.ShipmentDelivered]) Input {
	return Input{Message: order.Message{
		Input:       order.ShipmentDelivered,
		DeliveredAt: e.Data.DeliveredAt,
	}}
}
