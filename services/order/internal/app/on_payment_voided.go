package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/order"
)

// OnPaymentVoided ends an order that was cancelled before any money was taken.
func OnPaymentVoided(e consumer.Event[events.PaymentVoided]) Input {
	return Input{Message: order.Message{
		Input:  order.PaymentVoided,
		Reason: e.Data.Reason,
	}}
}
