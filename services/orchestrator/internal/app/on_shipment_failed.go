package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnShipmentFailed turns the saga back, because the carrier does not take the parcel.
func OnShipmentFailed(e consumer.Event[events.ShipmentFailed]) Input {
	return Input{Kind: orchestrator.ShipmentFailed, Reason: reasonShipmentFailed, Detail: joined(e.Data.Reason, e.Data.Detail)}
}
