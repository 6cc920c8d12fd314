package app

import (
	"context"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/payment"
)

// charge returns the call that charges the order before the transaction of a record that asks for it,
// or nil. It charges nothing when the payment shows that the charge already has a result or that the
// saga was compensated, or when the record contradicts the style of the saga. The error of the call is
// Transient when the outcome is unknown. The next try uses the same key, and the gateway answers with
// the recorded outcome.
func (a *App) charge(p Payment, orderID string, style event.Style, in Input) consumer.Call[gateway.Answer] {
	if contradicts(p.row, style, in.Style) || payment.Decide(p.state(), in.record()).Effect != payment.Charge {
		return nil
	}
	return func(ctx context.Context) (gateway.Answer, error) {
		return observe(a, "charge", func() (gateway.Answer, error) {
			return a.gateway.Charge(ctx, ChargeKey(orderID), gateway.ChargeRequest{
				OrderID: orderID, CustomerID: in.Due.CustomerID, Amount: in.Due.Amount, Currency: in.Due.Currency,
			})
		})
	}
}

// charged returns the input of a record that asks for the charge, once the gateway has answered. A
// compensation may have committed after the call. The answer is then an input to that compensation.
func charged(asks payment.Input, due Due, answer gateway.Answer) Input {
	in, asked := map[gateway.Outcome]payment.Input{
		gateway.Captured: payment.ChargeCaptured, gateway.Declined: payment.ChargeDeclined, gateway.Voided: payment.ChargeStopped,
	}[answer.Outcome]
	if !asked {
		in = asks
	}
	return Input{Record: asks, Kinds: []payment.Input{in}, Due: &due, Answers: []gateway.Answer{answer}}
}
