package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
)

// Events of inventory appear in the timeline. The status follows the order's own events.

// OnInventoryReserved records that the items are reserved.
func OnInventoryReserved(e consumer.Event[events.InventoryReserved]) Fact {
	return factOf(e, e.Data.OccurredAt, "")
}

// OnInventoryReservationFailed records why the items are not reserved.
func OnInventoryReservationFailed(e consumer.Event[events.InventoryReservationFailed]) Fact {
	return factOf(e, e.Data.OccurredAt, e.Data.Reason)
}

// OnInventoryReleased records that the items were released.
func OnInventoryReleased(e consumer.Event[events.InventoryReleased]) Fact {
	return factOf(e, e.Data.OccurredAt, e.Data.Reason)
}

// OnInventoryCommandAnswered: a command moved no pieces.
func OnInventoryCommandAnswered(e consumer.Event[events.InventoryCommandAnswered]) Fact {
	return factOf(e, e.Data.OccurredAt, e.Data.Command+": "+e.Data.Outcome)
}
