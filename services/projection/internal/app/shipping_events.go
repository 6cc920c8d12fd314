package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
)

// Events of shipping appear in the timeline. The status follows the order's own events.

// OnShipmentScheduled records that the carrier has accepted the parcel.
func OnShipmentScheduled(e consumer.Event[events.ShipmentScheduled]) Fact {
	return factOf(e, e.Data.OccurredAt, e.Data.TrackingID)
}

// OnShipmentFailed records why the carrier has refused the parcel.
func OnShipmentFailed(e consumer.Event[events.ShipmentFailed]) Fact {
	return factOf(e, e.Data.OccurredAt, e.Data.Reason)
}

// OnShipmentDispatched records that the parcel has left.
func OnShipmentDispatched(e consumer.Event[events.ShipmentDispatched]) Fact {
	return factOf(e, e.Data.OccurredAt, e.Data.TrackingID)
}

// OnShipmentDelivered records that the parcel has arrived.
func OnShipmentDelivered(e consumer.Event[events.ShipmentDelivered]) Fact {
	return factOf(e, e.Data.OccurredAt, "")
}

// OnShipmentCancelled records that the parcel will not leave.
func OnShipmentCancelled(e consumer.Event[events.ShipmentCancelled]) Fact {
	return factOf(e, e.Data.OccurredAt, e.Data.Reason)
}

// OnShipmentCancellationRejected records that the cancellation came after the parcel had left.
func OnShipmentCancellationRejected(e consumer.Event[events.ShipmentCancellationRejected]) Fact {
	return factOf(e, e.Data.OccurredAt, e.Data.Reason)
}

// OnShipmentCommandAnswered: a command changed nothing about the parcel.
func OnShipmentCommandAnswered(e consumer.Event[events.ShipmentCommandAnswered]) Fact {
	return factOf(e, e.Data.OccurredAt, e.Data.Command+": "+e.Data.Outcome)
}
