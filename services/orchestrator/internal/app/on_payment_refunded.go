package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnPaymentRefunded undoes the step charge: the money was returned.
func OnPaymentRefunded(e consumer.Event[events.PaymentRefunded]) Input {
	return Input{Kind: orchestrator.PaymentRefunded, Detail: e.Data.Reason}
}
