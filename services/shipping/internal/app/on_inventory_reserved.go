package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/shipping"
)

// OnInventoryReserved records that the goods are reserved. The parcel is scheduled as soon as its
// address is known.
func OnInventoryReserved(e consumer.Event[events.InventoryReserved]) Input {
	return Input{Kind: shipping.InventoryReserved}
}
