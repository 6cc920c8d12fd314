package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/payment"
)

// OnShipmentFailed returns the money, because the carrier does not take the parcel.
func OnShipmentFailed(consumer.Event[events.ShipmentFailed]) Input {
	return Input{Kinds: []payment.Input{payment.ShipmentFailed}, Reason: reasonShipmentFailed}
}
