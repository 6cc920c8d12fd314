package app

import (
	"time"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/services/order/internal/order"
)

// publish translates domain events, which are private, into the integration events
// other services are promised. Each carries the stream version at which its fact
// held, so that consumers can tell old from new. before is the order without them.
func publish(before order.Order, news []order.Event, at time.Time, cause outbox.Cause) []outbox.Entry {
	var entries []outbox.Entry
	add := func(version int64, e events.Event) {
		entries = append(entries, outbox.Entry{Event: e, AggregateID: e.AggregateKey(), Version: version, Cause: cause})
	}
	o := before
	for _, e := range news {
		o = o.Apply(e)
		switch e := e.(type) {
		case order.WasConfirmed:
			add(o.Version, events.OrderConfirmed{OrderID: o.ID, TrackingID: e.TrackingID, OccurredAt: at})
		case order.CancellationRequested:
			add(o.Version, events.OrderCancellationRequested{OrderID: o.ID, Reason: e.Reason, Detail: e.Detail, OccurredAt: at})
		case order.WasCancelled:
			add(o.Version, events.OrderCancelled{OrderID: o.ID, Reason: e.Reason, Detail: e.Detail, OccurredAt: at})
		case order.WasShipped:
			add(o.Version, events.OrderShipped{OrderID: o.ID, TrackingID: o.TrackingID, OccurredAt: at})
		case order.WasDelivered:
			add(o.Version, events.OrderDelivered{OrderID: o.ID, OccurredAt: at})
		}
		// FulfilmentFailed, CancellationRejected and NeedsAttention stay private: they
		// record what other services have published themselves.
	}
	if before.Status == order.None {
		// One event with everything (event-carried state transfer) for the whole
		// first append, and beside it the bare notification for those who would
		// rather ask.
		add(o.Version, created(o, at))
		add(o.Version, events.OrderPlaced{OrderID: o.ID, OccurredAt: at})
	}
	add(o.Version, events.OrderSnapshot{
		OrderID: o.ID, Version: o.Version, Status: string(o.Status), CustomerID: o.Customer.ID,
		TotalAmount: o.TotalAmount, Currency: o.Currency, OccurredAt: at,
	})
	return entries
}

func created(o order.Order, at time.Time) events.OrderCreated {
	e := events.OrderCreated{
		OrderID:         o.ID,
		Customer:        events.Customer(o.Customer),
		ShippingAddress: events.Address(o.Address),
		TotalAmount:     o.TotalAmount,
		Currency:        o.Currency,
		ConfirmBy:       o.ConfirmBy,
		OccurredAt:      at,
	}
	for _, item := range o.Items {
		e.Items = append(e.Items, events.OrderItem(item))
	}
	return e
}
