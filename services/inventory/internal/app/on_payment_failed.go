package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/inventory"
)

// OnPaymentFailed leaves a tombstone, because an unpaid order reserves nothing.
func OnPaymentFailed(e consumer.Event[events.PaymentFailed]) Input {
	return Input{Kind: inventory.PaymentFailed}
}
