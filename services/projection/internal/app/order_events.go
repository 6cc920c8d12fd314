package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
)

// OnOrderCreated adds the data that no other event carries: customer, items, total and address.
func OnOrderCreated(e consumer.Event[events.OrderCreated]) Fact {
	f := factOf(e, e.Data.OccurredAt, "")
	f.Status, f.Created = Pending, &e.Data
	return f
}

// OnOrderConfirmed: the order is paid, reserved and scheduled.
func OnOrderConfirmed(e consumer.Event[events.OrderConfirmed]) Fact {
	f := factOf(e, e.Data.OccurredAt, e.Data.TrackingID)
	f.Status = Confirmed
	return f
}

// OnOrderCancellationRequested: compensation has begun, and its outcome is open.
func OnOrderCancellationRequested(e consumer.Event[events.OrderCancellationRequested]) Fact {
	f := factOf(e, e.Data.OccurredAt, e.Data.Reason)
	f.Status = Cancelling
	return f
}

// OnOrderCancelled: the order is cancelled, and no money is held.
func OnOrderCancelled(e consumer.Event[events.OrderCancelled]) Fact {
	f := factOf(e, e.Data.OccurredAt, e.Data.Reason)
	f.Status, f.CancelReason = Cancelled, &e.Data.Reason
	return f
}

// OnOrderShipped: the parcel has left.
func OnOrderShipped(e consumer.Event[events.OrderShipped]) Fact {
	f := factOf(e, e.Data.OccurredAt, e.Data.TrackingID)
	f.Status, f.TrackingID = Shipped, &e.Data.TrackingID
	return f
}

// OnOrderDelivered: the parcel has arrived.
func OnOrderDelivered(e consumer.Event[events.OrderDelivered]) Fact {
	f := factOf(e, e.Data.OccurredAt, "")
	f.Status = Delivered
	return f
}

// OnOrderCommandAnswered: a command changed nothing about the order, so its status stays.
func OnOrderCommandAnswered(e consumer.Event[events.OrderCommandAnswered]) Fact {
	return factOf(e, e.Data.OccurredAt, e.Data.Command+": "+e.Data.Outcome)
}
