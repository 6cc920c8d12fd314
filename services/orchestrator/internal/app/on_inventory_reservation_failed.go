package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnInventoryReservationFailed turns the saga back, because nothing can be shipped. While the
// reservation is being undone, it is the answer that there was nothing to release.
func OnInventoryReservationFailed(e consumer.Event[events.InventoryReservationFailed]) Input {
	return Input{
		Kind: orchestrator.InventoryReservationFailed, Reason: reasonOutOfStock, Detail: joined(e.Data.Reason, e.Data.Missing()),
	}
}
