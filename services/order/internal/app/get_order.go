package app

import (
	"context"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/services/order/internal/order"
)

// Recorded is a domain event with its place in the order's stream.
type Recorded struct {
	Version    int64
	RecordedAt time.Time
	Event      order.Event
}

// GetOrder gives the order as it is now: NotFound when there is none.
func (a *App) GetOrder(ctx context.Context, orderID string) (order.Order, error) {
	return a.load(ctx, a.reads, orderID)
}

// GetOrderAt gives the order as it was when its stream had the version: NotFound
// when the stream has not got that far.
func (a *App) GetOrderAt(ctx context.Context, orderID string, version int64) (order.Order, error) {
	records, err := eventstore.LoadUntilVersion(ctx, a.reads, orderID, version)
	if err != nil {
		return order.Order{}, err
	}
	o, err := fold(order.Order{}, records)
	switch {
	case err != nil:
		return o, err
	case o.Status == order.None:
		return o, errs.New(errs.NotFound, "there is no order %s", orderID)
	case o.Version < version:
		return o, errs.New(errs.NotFound, "order %s has no version %d, it is at %d", orderID, version, o.Version)
	}
	return o, nil
}

// GetOrderEvents gives all domain events of an order, oldest first: NotFound when
// there is none.
func (a *App) GetOrderEvents(ctx context.Context, orderID string) ([]Recorded, error) {
	records, err := eventstore.Load(ctx, a.reads, orderID, 0)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, errs.New(errs.NotFound, "there is no order %s", orderID)
	}
	recorded := make([]Recorded, len(records))
	for i, r := range records {
		e, err := order.Decode(r.Type, r.Data)
		if err != nil {
			return nil, err
		}
		recorded[i] = Recorded{Version: r.Version, RecordedAt: r.RecordedAt, Event: e}
	}
	return recorded, nil
}
