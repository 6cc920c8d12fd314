package app

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/internal/payment"
)

// RetryRefund lets an operator have another round of attempts made at once, for money
// that could not be given back or is still waiting for its next attempt. NotFound when
// there is no such payment, Conflict when it holds nothing that is on its way back.
func (a *App) RetryRefund(ctx context.Context, tx pgx.Tx, orderID string) (db.Payment, error) {
	row, err := a.lock(ctx, tx, orderID)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, notFound(orderID)
	}
	if err != nil {
		return row, err
	}
	before := row.State
	d, err := a.change(ctx, tx, &row, step{orderID: orderID, inputs: []payment.Input{payment.RetryRefund}})
	if err == nil && d.Action == payment.Refuse {
		err = errs.New(errs.Conflict, "the payment of order %s is %s: there is no refund to retry", orderID, before)
	}
	return row, err
}

func notFound(orderID string) error {
	return errs.New(errs.NotFound, "there is no payment of order %s", orderID)
}
