package inventory

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/internal/app"
)

// subscriptions lists every record that the inventory service reacts to. The events that start a step
// are those of choreographed orders; for orchestrated orders a command does. The dispatch means the same
// in both styles. The consumer counts all other events as ignored: the later events of the order follow
// from the listed ones, ShipmentScheduled moves no pieces, and money is returned after a compensation
// that inventory receives directly.
func subscriptions(a *app.App) []consumer.Subscription {
	reserving := []event.Type{ // for the one of the two that arrives last
		events.TypeOf[events.InventoryReserved](),
		events.TypeOf[events.InventoryReservationFailed](),
	}
	released := events.TypeOf[events.InventoryReleased]()
	answered := events.TypeOf[events.InventoryCommandAnswered]()
	return []consumer.Subscription{
		consumer.On(a.Reservations, app.OnOrderCreated).Of(event.Choreographed).Emits(reserving...),
		consumer.On(a.Reservations, app.OnPaymentCompleted).Of(event.Choreographed).Emits(reserving...),
		consumer.On(a.Reservations, app.OnPaymentFailed).Of(event.Choreographed),
		consumer.On(a.Reservations, app.OnPaymentVoided).Of(event.Choreographed),
		consumer.On(a.Reservations, app.OnShipmentFailed).Of(event.Choreographed).Emits(released),
		consumer.On(a.Reservations, app.OnShipmentCancelled).Of(event.Choreographed).Emits(released),
		consumer.On(a.Reservations, app.OnShipmentDispatched),
		consumer.On(a.Reservations, app.OnReserveInventory).Of(event.Orchestrated).Emits(reserving...).Emits(answered),
		consumer.On(a.Reservations, app.OnReleaseInventory).Of(event.Orchestrated).Emits(released, answered),
	}
}

// emits lists every event type that the service publishes. Their schemas are registered at start.
func emits() []event.Type {
	return []event.Type{
		events.TypeOf[events.InventoryReserved](),
		events.TypeOf[events.InventoryReservationFailed](),
		events.TypeOf[events.InventoryReleased](),
		events.TypeOf[events.InventoryCommandAnswered](),
	}
}
