package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnOrderConfirmed ends the step confirm. The order also confirms itself when it learns that its parcel has left, so
// this event can come before ShipmentScheduled.
func OnOrderConfirmed(e consumer.Event[events.OrderConfirmed]) Input {
	return Input{Kind: orchestrator.OrderConfirmed, TrackingID: e.Data.TrackingID}
}
