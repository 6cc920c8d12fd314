package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/order"
)

// OnPaymentFailed cancels the order. No money was taken, so there is nothing to compensate.
func OnPaymentFailed(e consumer.Event[events.PaymentFailed]) Input {
	return Input{Message: order.Message{
		Input:  order.PaymentFailed,
		Reason: e.Data.Reason,
		Detail: e.Data.Detail,
	}}
}
