package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/inventory"
)

// OnPaymentVoided leaves a tombstone, because the charge was stopped before it took money.
func OnPaymentVoided(e consumer.Event[events.PaymentVoided]) Input {
	return Input{Kind: inventory.PaymentVoided}
}
