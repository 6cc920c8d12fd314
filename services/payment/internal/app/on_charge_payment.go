package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/payment"
)

// ChargeOnChargePayment is the call of [OnChargePayment]: see [App.charge].
func (a *App) ChargeOnChargePayment(p Payment, e consumer.Event[events.ChargePayment]) consumer.Call[gateway.Answer] {
	return a.charge(p, e.Data.OrderID, e.Cause().Style, OnChargePayment(e, gateway.Answer{}))
}

// OnChargePayment carries the amount and the answer to the charge, as OnOrderCreated does. Its key at
// the gateway is the same, so no order is charged in both styles.
func OnChargePayment(e consumer.Event[events.ChargePayment], answer gateway.Answer) Input {
	due := Due{CustomerID: e.Data.CustomerID, Amount: e.Data.Amount, Currency: e.Data.Currency}
	return charged(payment.ChargePayment, due, answer)
}
