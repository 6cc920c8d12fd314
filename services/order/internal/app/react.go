package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
	"eventshop.example/services/order/internal/order"
)

// react is what all reactions share: the order takes the fact as input. A Conflict
// (HTTP or the deadline worker was at the same order) leaves as it is; the consumer
// rolls back, waits a little and tries again.
//
// A fact about an order this service never accepted is Hopeless: every order is in
// the store before anybody else can hear of it.
func (a *App) react(ctx context.Context, tx pgx.Tx, orderID string, in order.Input, cause outbox.Cause) error {
	_, _, err := a.change(ctx, tx, orderID, in, cause)
	if errs.KindOf(err) == errs.NotFound {
		return errs.Wrap(errs.Hopeless, err, string(in.Kind))
	}
	return err
}
