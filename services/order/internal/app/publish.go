package app

import (
	"context"
	"slices"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/order/order"
)

// publish translates private domain events into the integration events that other services receive.
// Each integration event carries the stream version at which its fact became true, so that
// consumers can recognise old events. before is the order without the new events.
//
// A snapshot is published when the order ends, at every change after its end, and when its version has
// passed a multiple of the service's snapshot interval. Between these, its events say more.
func (a *App) publish(before order.Order, news []order.Event, at time.Time, cause outbox.Cause) []outbox.Entry {
	var entries []outbox.Entry
	add := func(version int64, e event.Event) {
		entries = append(entries, outbox.Entry{Event: e, AggregateID: e.AggregateKey(), Version: version, Cause: cause})
	}
	o := before
	for _, e := range news {
		o = o.Apply(e)
		switch e := e.(type) {
		case order.OrderConfirmed:
			add(o.Version, events.OrderConfirmed{OrderID: o.ID, TrackingID: e.TrackingID, OccurredAt: at})
		case order.OrderCancellationRequested:
			add(o.Version, events.OrderCancellationRequested{OrderID: o.ID, Reason: e.Reason(), Detail: e.Detail, OccurredAt: at})
		case order.OrderCancelled:
			add(o.Version, events.OrderCancelled{OrderID: o.ID, Reason: e.Reason, Detail: e.Detail, OccurredAt: at})
		case order.OrderShipped:
			add(o.Version, events.OrderShipped{OrderID: o.ID, TrackingID: o.TrackingID, OccurredAt: at})
		case order.OrderDelivered:
			add(o.Version, events.OrderDelivered{OrderID: o.ID, OccurredAt: at})
		case order.OrderCommandAnswered:
			add(o.Version, events.OrderCommandAnswered{OrderID: o.ID, Command: string(e.Command), Outcome: string(e.Outcome), State: string(o.State), OccurredAt: at})
		}
		// The events that are private record facts that other services have published themselves.
	}
	if !o.State.Placed() {
		return nil
	}
	if !before.State.Placed() {
		// What places an order is published as one event with all data (event-carried state transfer).
		// OrderPlaced is the notification without data, for consumers that prefer to query.
		add(o.Version, created(o, at))
		add(o.Version, events.OrderPlaced{OrderID: o.ID, OccurredAt: at})
	}
	if o.State.Ended() || a.states.Due(before.Version, o.Version) {
		add(o.Version, events.OrderSnapshot{
			OrderID: o.ID, Version: o.Version, Status: string(o.State), CustomerID: o.Customer.ID,
			TotalAmount: o.TotalAmount, Currency: o.Currency, OccurredAt: at,
		})
	}
	for i := range entries {
		entries[i].Cause.Style = event.Style(o.Style) // the order's own: requests and deadlines have none
	}
	return entries
}

// private reports whether a domain event is not published as an order event that read models follow.
func private(e order.Event) bool {
	switch e.(type) {
	case order.DraftStarted, order.DraftItemAdded, order.DraftItemChanged, order.DraftItemRemoved, order.DraftAddressChanged,
		order.DraftDiscarded, order.DraftPlaced:
		return true // no other service knows of drafts
	case order.OrderFulfilmentFailed, order.OrderCancellationRejected, order.OrderNeedsAttention:
		return true
	case order.OrderCommandAnswered:
		return true // for the orchestrator, and of no interest to read models
	}
	return false
}

// PublishedVersion returns the version of the last published order event among an order's events up
// to the given version of its stream. A read model of order events can follow the stream up to
// there, because private domain events have versions of their own. The error has kind NotFound when
// there is no order.
func (a *App) PublishedVersion(ctx context.Context, q postgres.Querier, orderID string, until int64) (int64, error) {
	records, err := eventstore.LoadUntilVersion(ctx, q, orderID, until)
	if err != nil {
		return 0, err
	}
	for _, r := range slices.Backward(records) {
		e, err := order.Decode(r.Type, r.Data)
		if err != nil {
			return 0, err
		}
		if !private(e) {
			return r.Version, nil
		}
	}
	return 0, errs.New(errs.NotFound, "there is no order %s", orderID)
}

func created(o order.Order, at time.Time) events.OrderCreated {
	e := events.OrderCreated{
		OrderID:         o.ID,
		Customer:        events.Customer(o.Customer),
		ShippingAddress: events.Address(o.Address),
		TotalAmount:     o.TotalAmount,
		Currency:        o.Currency,
		SagaStyle:       string(o.Style),
		ConfirmBy:       o.ConfirmBy,
		OccurredAt:      at,
	}
	for _, item := range o.Items {
		e.Items = append(e.Items, events.OrderItem(item))
	}
	return e
}
