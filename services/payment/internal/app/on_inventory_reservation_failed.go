package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/payment"
)

// OnInventoryReservationFailed returns the money, because nothing can be shipped. Inventory's own
// event carries the shortages. The reason for the customer is "out_of_stock", also for an unknown
// SKU.
func OnInventoryReservationFailed(consumer.Event[events.InventoryReservationFailed]) Input {
	return Input{Kinds: []payment.Input{payment.InventoryReservationFailed}, Reason: reasonOutOfStock}
}
