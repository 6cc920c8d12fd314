package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/inventory"
)

// OnShipmentFailed compensates: the carrier does not take the parcel, so its reserved items are
// released.
func OnShipmentFailed(e consumer.Event[events.ShipmentFailed]) Input {
	return Input{Kind: inventory.ShipmentFailed, Reason: "shipment_failed"}
}
