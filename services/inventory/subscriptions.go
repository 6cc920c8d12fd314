package inventory

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/internal/app"
)

// subscriptions lists every event that the inventory service reacts to. The consumer counts all
// other events as ignored: the later events of the order follow from the listed ones,
// ShipmentScheduled moves no pieces, and money is returned after a compensation that inventory
// receives directly.
func subscriptions(a *app.App) []consumer.Subscription {
	reserving := []event.Type{ // for the one of the two that arrives last
		events.TypeOf[events.InventoryReserved](),
		events.TypeOf[events.InventoryReservationFailed](),
	}
	released := events.TypeOf[events.InventoryReleased]()
	return []consumer.Subscription{
		consumer.On(a.Reservations, app.OnOrderCreated).Emits(reserving...),
		consumer.On(a.Reservations, app.OnPaymentCompleted).Emits(reserving...),
		consumer.On(a.Reservations, app.OnPaymentFailed),
		consumer.On(a.Reservations, app.OnPaymentVoided),
		consumer.On(a.Reservations, app.OnShipmentFailed).Emits(released),
		consumer.On(a.Reservations, app.OnShipmentCancelled).Emits(released),
		consumer.On(a.Reservations, app.OnShipmentDispatched),
	}
}

// emits lists every event type that the service publishes. Their schemas are registered at start.
func emits() []event.Type {
	return []event.Type{
		events.TypeOf[events.InventoryReserved](),
		events.TypeOf[events.InventoryReservationFailed](),
		events.TypeOf[events.InventoryReleased](),
	}
}
