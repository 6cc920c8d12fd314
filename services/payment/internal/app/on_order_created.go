package app

import (
	"cmp"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/payment"
)

// ChargeOnOrderCreated is the call of [OnOrderCreated]: see [App.charge].
func (a *App) ChargeOnOrderCreated(p Payment, e consumer.Event[events.OrderCreated]) consumer.Call[gateway.Answer] {
	return a.charge(p, e.Data.OrderID, e.Cause().Style, OnOrderCreated(e, gateway.Answer{}))
}

// OnOrderCreated carries the amount and the answer to the charge.
func OnOrderCreated(e consumer.Event[events.OrderCreated], answer gateway.Answer) Input {
	due := Due{CustomerID: e.Data.Customer.ID, Amount: e.Data.TotalAmount, Currency: e.Data.Currency}
	in := charged(payment.OrderCreated, due, answer)
	in.Style = cmp.Or(event.Style(e.Data.SagaStyle), event.Choreographed) // an event of an earlier release has none
	return in
}
