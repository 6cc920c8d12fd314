package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/inventory"
)

// OnPaymentCompleted makes the service reserve the order's items: now if they are known, otherwise
// when OrderCreated arrives.
func OnPaymentCompleted(e consumer.Event[events.PaymentCompleted]) Input {
	return Input{Kind: inventory.PaymentCompleted}
}
