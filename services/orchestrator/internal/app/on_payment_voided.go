package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnPaymentVoided undoes the step charge: no money was taken, and none will be.
func OnPaymentVoided(e consumer.Event[events.PaymentVoided]) Input {
	return Input{Kind: orchestrator.PaymentVoided, Detail: e.Data.Reason}
}
