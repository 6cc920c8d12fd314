package app

import (
	"context"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/payment"
)

// ChargeOnOrderCreated charges the order before the transaction. It charges nothing when the
// payment shows that the charge already has a result or that the saga was compensated. The error is
// Transient when the outcome is unknown. The next try uses the same key, and the gateway answers
// with the recorded outcome.
func (a *App) ChargeOnOrderCreated(p Payment, e consumer.Event[events.OrderCreated]) consumer.Call[gateway.Answer] {
	if payment.Decide(p.state(), payment.OrderCreated).Effect != payment.Charge {
		return nil
	}
	return func(ctx context.Context) (gateway.Answer, error) {
		return observe(a, "charge", func() (gateway.Answer, error) {
			return a.gateway.Charge(ctx, ChargeKey(e.Data.OrderID), gateway.ChargeRequest{
				OrderID: e.Data.OrderID, CustomerID: e.Data.Customer.ID, Amount: e.Data.TotalAmount, Currency: e.Data.Currency,
			})
		})
	}
}

// OnOrderCreated carries the amount and the answer to the charge. A compensation may have committed
// after the call. The answer is then an input to that compensation.
func OnOrderCreated(e consumer.Event[events.OrderCreated], answer gateway.Answer) Input {
	in, asked := map[gateway.Outcome]payment.Input{
		gateway.Captured: payment.ChargeCaptured, gateway.Declined: payment.ChargeDeclined, gateway.Voided: payment.ChargeStopped,
	}[answer.Outcome]
	if !asked {
		in = payment.OrderCreated
	}
	return Input{
		Kinds:   []payment.Input{in},
		Due:     &Due{CustomerID: e.Data.Customer.ID, Amount: e.Data.TotalAmount, Currency: e.Data.Currency},
		Answers: []gateway.Answer{answer},
	}
}
