package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnPaymentFailed turns the saga back. No money was taken, so only the order is left to cancel. While the charge is
// being undone, it is the answer that there was nothing to return.
func OnPaymentFailed(e consumer.Event[events.PaymentFailed]) Input {
	return Input{Kind: orchestrator.PaymentFailed, Reason: reasonPaymentFailed, Detail: joined(e.Data.Reason, e.Data.Detail)}
}
