package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnShipmentDelivered ends the saga.
func OnShipmentDelivered(consumer.Event[events.ShipmentDelivered]) Input {
	return Input{Kind: orchestrator.ShipmentDelivered}
}
