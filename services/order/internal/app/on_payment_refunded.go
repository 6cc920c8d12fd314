package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/order"
)

// OnPaymentRefunded ends an order that was being compensated: the money is returned. Inventory
// releases the reserved items in its own reaction to the failure.
func OnPaymentRefunded(e consumer.Event[events.PaymentRefunded]) Input {
	return Input{Message: order.Message{
		Input:  order.PaymentRefunded,
		Reason: e.Data.Reason,
	}}
}
