package app

import (
	"context"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/services/order/order"
)

// GetOrder returns the current order. The error has kind NotFound when there is none.
func (a *App) GetOrder(ctx context.Context, orderID string) (order.Order, error) {
	found, err := a.look(ctx, a.reads, orderID)
	if err != nil {
		return order.Order{}, err
	}
	o, ok := found[orderID]
	if !ok {
		return order.Order{}, errs.New(errs.NotFound, "there is no order %s", orderID)
	}
	return o.Order, o.unreadable
}

// GetOrderAt returns the order as of the given version of its stream. The error has kind NotFound
// when the stream has not reached that version.
func (a *App) GetOrderAt(ctx context.Context, orderID string, version int64) (order.Order, error) {
	then, err := a.states.LoadVersion(ctx, a.reads, orderID, version)
	switch {
	case err != nil:
		return order.Order{}, err
	case then.Err != nil:
		return order.Order{}, then.Err
	case then.Version == 0:
		return order.Order{}, errs.New(errs.NotFound, "there is no order %s", orderID)
	case then.Version < version:
		return order.Order{}, errs.New(errs.NotFound, "order %s has no version %d, it is at %d", orderID, version, then.Version)
	}
	return then.State, nil
}

// GetOrderAsOf returns the order as it was at an instant; see [eventstore.VersionAt]. The error has kind
// NotFound when the order does not exist, and when it was created later: then it says when.
func (a *App) GetOrderAsOf(ctx context.Context, orderID string, at time.Time) (order.Order, error) {
	version, err := eventstore.VersionAt(ctx, a.reads, orderID, at)
	if err != nil {
		return order.Order{}, err
	}
	if version > 0 {
		return a.GetOrderAt(ctx, orderID, version)
	}
	created, ok, err := eventstore.Began(ctx, a.reads, orderID)
	switch {
	case err != nil:
		return order.Order{}, err
	case !ok:
		return order.Order{}, errs.New(errs.NotFound, "there is no order %s", orderID)
	}
	return order.Order{}, errs.New(errs.NotFound, "order %s did not exist at %s, it was created at %s",
		orderID, at.UTC().Format(time.RFC3339Nano), created.Format(time.RFC3339Nano))
}
