package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/order"
)

// OnPaymentRefundFailed marks the order as needing attention. A refund that succeeds later still
// ends the order.
func OnPaymentRefundFailed(e consumer.Event[events.PaymentRefundFailed]) Input {
	return Input{Message: order.Message{
		Input:  order.PaymentRefundFailed,
		Reason: e.Data.Reason,
	}}
}
