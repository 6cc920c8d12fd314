package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/payment"
)

// ChargeOnOrderCreated takes the money, before the transaction, unless the row says that
// it was tried or that the saga has been undone. Its error is Transient when the outcome
// is unknown: the same key is then asked again, and the gateway answers with what
// happened.
func (a *App) ChargeOnOrderCreated(ctx context.Context, e consumer.Event[events.OrderCreated]) (gateway.Answer, error) {
	orderID := e.Data.OrderID
	state, err := a.stateOf(ctx, orderID)
	if err != nil {
		return gateway.Answer{}, err
	}
	if !payment.Decide(state, payment.OrderCreated).Charge {
		return gateway.Answer{}, nil
	}
	return observe(a, "charge", func() (gateway.Answer, error) {
		return a.gateway.Charge(ctx, ChargeKey(orderID), gateway.ChargeRequest{
			OrderID: orderID, CustomerID: e.Data.Customer.ID, Amount: e.Data.TotalAmount, Currency: e.Data.Currency,
		})
	})
}

// OnOrderCreated records what became of the charge. A compensation may have committed
// since the call: then the answer is what the saga's undoing has to work with.
func (a *App) OnOrderCreated(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderCreated], answer gateway.Answer) error {
	s := step{
		orderID: e.Data.OrderID,
		cause:   e.Cause(),
		due:     &due{customerID: e.Data.Customer.ID, amount: e.Data.TotalAmount, currency: e.Data.Currency},
		answers: []gateway.Answer{answer},
	}
	row, err := a.open(ctx, tx, s)
	if err != nil {
		return err
	}
	in, asked := map[gateway.Outcome]payment.Input{
		gateway.Captured: payment.ChargeCaptured, gateway.Declined: payment.ChargeDeclined, gateway.Voided: payment.ChargeStopped,
	}[answer.Outcome]
	if !asked {
		in = payment.OrderCreated
		if payment.Decide(payment.State(row.State), in).Charge {
			return errs.New(errs.Transient, "payment of order %s was not charged for; asking the gateway next time", s.orderID)
		}
	}
	s.inputs = []payment.Input{in}
	_, err = a.change(ctx, tx, &row, s)
	return err
}
