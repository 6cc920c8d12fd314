package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnShipmentCancelled undoes the step schedule. It turns the saga back when no command asked for it: then the carrier's
// staff had cancelled the parcel.
func OnShipmentCancelled(e consumer.Event[events.ShipmentCancelled]) Input {
	return Input{Kind: orchestrator.ShipmentCancelled, Reason: reasonShipmentFailed, Detail: "cancelled at the carrier"}
}
