package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnPaymentRefundFailed asks for a person. The saga waits, because the payment service goes on once the cause is repaired.
func OnPaymentRefundFailed(e consumer.Event[events.PaymentRefundFailed]) Input {
	return Input{Kind: orchestrator.PaymentRefundFailed, Reason: e.Data.Reason}
}
