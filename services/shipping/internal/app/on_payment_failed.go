package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/shipping"
)

// OnPaymentFailed cancels the shipment, because an unpaid order is not shipped.
func OnPaymentFailed(e consumer.Event[events.PaymentFailed]) Input {
	return Input{Kind: shipping.PaymentFailed, Reason: "payment_failed", Detail: e.Data.Reason}
}
