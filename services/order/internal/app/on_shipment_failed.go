package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/order"
)

// OnShipmentFailed records why the order will end. The order ends when the money is returned
// (OnPaymentRefunded).
func OnShipmentFailed(e consumer.Event[events.ShipmentFailed]) Input {
	return Input{Message: order.Message{
		Input:  order.ShipmentFailed,
		Reason: e.Data.Reason,
		Detail: e.Data.Detail,
	}}
}
