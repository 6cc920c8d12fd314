package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/payment"
)

// OnRefundPayment compensates the payment. The worker's result answers the command, unless the payment
// shows already that no money is held. In REFUND_FAILED the command starts another round of attempts.
func OnRefundPayment(e consumer.Event[events.RefundPayment]) Input {
	reason := e.Data.Reason
	if reason == reasonUnknownSKU {
		reason = reasonOutOfStock // as OnInventoryReservationFailed says it
	}
	return Input{Kinds: []payment.Input{payment.RefundPayment}, Reason: reason}
}
