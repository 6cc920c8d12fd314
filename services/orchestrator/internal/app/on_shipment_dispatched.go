package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnShipmentDispatched passes the pivot: nothing is undone any more.
func OnShipmentDispatched(e consumer.Event[events.ShipmentDispatched]) Input {
	return Input{Kind: orchestrator.ShipmentDispatched, TrackingID: e.Data.TrackingID}
}
