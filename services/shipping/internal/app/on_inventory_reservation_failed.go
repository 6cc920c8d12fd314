package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/shipping"
)

// OnInventoryReservationFailed cancels the shipment, because there is nothing to ship.
func OnInventoryReservationFailed(e consumer.Event[events.InventoryReservationFailed]) Input {
	return Input{Kind: shipping.InventoryReservationFailed, Reason: e.Data.Reason}
}
