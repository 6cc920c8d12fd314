package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
)

// OnPaymentCompleted adds the captured amount to the revenue of the day of the capture.
func OnPaymentCompleted(e consumer.Event[events.PaymentCompleted]) Fact {
	f := factOf(e, e.Data.OccurredAt, "")
	f.Captured = &Money{e.Data.Amount, e.Data.Currency}
	return f
}

// OnPaymentRefunded adds the refunded amount to the revenue of the day of the refund. It also
// clears the need for attention.
func OnPaymentRefunded(e consumer.Event[events.PaymentRefunded]) Fact {
	f := factOf(e, e.Data.OccurredAt, e.Data.Reason)
	f.Refunded, f.Attention = &Money{e.Data.Amount, e.Data.Currency}, new(false)
	return f
}

// OnPaymentRefundFailed: a refund gets no answer, or the void of a charge that may have taken
// money. A person has to look at it.
func OnPaymentRefundFailed(e consumer.Event[events.PaymentRefundFailed]) Fact {
	f := factOf(e, e.Data.OccurredAt, e.Data.Reason)
	f.Attention = new(true)
	return f
}

// OnPaymentFailed clears the need for attention that an unanswered void raised, because there is no
// money to return. The order's own event sets the status.
func OnPaymentFailed(e consumer.Event[events.PaymentFailed]) Fact {
	f := factOf(e, e.Data.OccurredAt, e.Data.Reason)
	f.Attention = new(false)
	return f
}

// OnPaymentVoided clears the need for attention for the same reason.
func OnPaymentVoided(e consumer.Event[events.PaymentVoided]) Fact {
	f := factOf(e, e.Data.OccurredAt, e.Data.Reason)
	f.Attention = new(false)
	return f
}

// OnPaymentCommandAnswered: a command moved no money.
func OnPaymentCommandAnswered(e consumer.Event[events.PaymentCommandAnswered]) Fact {
	return factOf(e, e.Data.OccurredAt, e.Data.Command+": "+e.Data.Outcome)
}
