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
	reserving := []events.Type{ // by whichever of the two comes last
		events.TypeOf[events.InventoryReserved](),
		events.TypeOf[events.InventoryReservationFailed](),
	}
	released := events.TypeOf[events.InventoryReleased]()
	return []consumer.Subscription{
		consumer.On(a.OnOrderCreated).Emits(reserving...),
		consumer.On(a.OnPaymentCompleted).Emits(reserving...),
		consumer.On(a.OnPaymentFailed).Emits(released),
		consumer.On(a.OnPaymentVoided).Emits(released),
		consumer.On(a.OnShipmentFailed).Emits(released),
		consumer.On(a.OnShipmentCancelled).Emits(released),
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
