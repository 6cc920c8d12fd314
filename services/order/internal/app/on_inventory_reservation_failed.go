package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/order"
)

// OnInventoryReservationFailed records why the order will end. The order ends when the money is
// returned (OnPaymentRefunded).
func OnInventoryReservationFailed(e consumer.Event[events.InventoryReservationFailed]) Input {
	return Input{Message: order.Message{
		Input:  order.InventoryReservationFailed,
		Reason: e.Data.Reason,
		Detail: e.Data.Missing(),
	}}
}
