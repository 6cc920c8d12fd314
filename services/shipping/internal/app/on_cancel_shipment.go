package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/shipping"
)

// OnCancelShipment decides the cancellation, as [OnOrderCancellationRequested] does.
func OnCancelShipment(e consumer.Event[events.CancelShipment]) Input {
	return Input{Kind: shipping.CancelShipment, Reason: e.Data.Reason}
}
