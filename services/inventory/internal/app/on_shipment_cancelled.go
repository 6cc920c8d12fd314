package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/inventory"
)

// OnShipmentCancelled compensates. Shipping has decided that the parcel does not leave. Reserved
// items are released. If nothing is reserved, a tombstone refuses a later reservation.
func OnShipmentCancelled(e consumer.Event[events.ShipmentCancelled]) Input {
	return Input{Kind: inventory.ShipmentCancelled, Reason: e.Data.Reason}
}
