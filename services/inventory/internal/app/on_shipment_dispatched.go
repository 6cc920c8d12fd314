package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/inventory"
)

// OnShipmentDispatched moves the reserved pieces to shipped, because they have left.
func OnShipmentDispatched(e consumer.Event[events.ShipmentDispatched]) Input {
	return Input{Kind: inventory.ShipmentDispatched}
}
