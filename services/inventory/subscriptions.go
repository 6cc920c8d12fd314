package inventory

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/internal/app"
)

// subscriptions is everything inventory reacts to. What is not listed is counted
// as ignored: the order's later events are consequences of what is listed,
// ShipmentScheduled changes nothing on the shelf, and money given back follows a
// compensation inventory has heard of by itself.
func subscriptions(a *app.App) []consumer.Subscription {
	return []consumer.Subscription{
		consumer.On(a.OnOrderCreated),
		consumer.On(a.OnPaymentCompleted),
		consumer.On(a.OnPaymentFailed),
		consumer.On(a.OnPaymentVoided),
		consumer.On(a.OnShipmentFailed),
		consumer.On(a.OnShipmentCancelled),
		consumer.On(a.OnShipmentDispatched),
	}
}

// emits is every event type the service publishes; their schemas are registered at
// start.
func emits() []events.Type {
	return []events.Type{
		events.TypeOf[events.InventoryReserved](),
		events.TypeOf[events.InventoryReservationFailed](),
		events.TypeOf[events.InventoryReleased](),
	}
}
