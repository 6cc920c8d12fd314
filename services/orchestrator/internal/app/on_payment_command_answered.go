package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnPaymentCommandAnswered takes the answer of the payment service to a command that emitted no event.
func OnPaymentCommandAnswered(e consumer.Event[events.PaymentCommandAnswered]) Input {
	return answerOf(answer{e.Data.Command, e.Data.Outcome, e.Data.State}, orchestrator.ChargePayment, orchestrator.RefundPayment)
}
