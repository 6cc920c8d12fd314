package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnShipmentCancellationRejected lets the saga go on to SHIPPED, because the parcel left before the cancellation.
func OnShipmentCancellationRejected(e consumer.Event[events.ShipmentCancellationRejected]) Input {
	return Input{Kind: orchestrator.ShipmentCancellationRejected, Detail: e.Data.Reason}
}
