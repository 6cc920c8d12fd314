package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnPaymentCompleted ends the step charge: the money was taken.
func OnPaymentCompleted(consumer.Event[events.PaymentCompleted]) Input {
	return Input{Kind: orchestrator.PaymentCompleted}
}
