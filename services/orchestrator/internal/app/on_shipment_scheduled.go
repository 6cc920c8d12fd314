package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnShipmentScheduled ends the step schedule. The tracking id goes to the order with ConfirmOrder.
func OnShipmentScheduled(e consumer.Event[events.ShipmentScheduled]) Input {
	return Input{Kind: orchestrator.ShipmentScheduled, TrackingID: e.Data.TrackingID}
}
