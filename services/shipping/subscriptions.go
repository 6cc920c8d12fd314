package shipping

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/app"
)

// subscriptions lists every event that the shipping service reacts to. The consumer counts all
// other events as ignored: inventory reacts to PaymentCompleted, and InventoryReleased, the refunds
// and the order's own progress (OrderConfirmed, OrderShipped, …) follow from events that shipping
// emitted. The service reads payment.events only for PaymentFailed, which ends a shipment that will
// never have reserved goods.
//
// The carrier is not called unless the schemas of all events that its answer can produce are known.
func subscriptions(a *app.App) []consumer.Subscription {
	scheduling := []event.Type{ // also for OrderCreated, when InventoryReserved came first
		events.TypeOf[events.ShipmentScheduled](),
		events.TypeOf[events.ShipmentFailed](),
		events.TypeOf[events.ShipmentCancelled](),
	}
	return []consumer.Subscription{
		app.Asking(a, app.OnOrderCreated).Emits(scheduling...),
		app.Asking(a, app.OnInventoryReserved).Emits(scheduling...),
		app.Asking(a, app.OnOrderCancellationRequested).Emits(
			events.TypeOf[events.ShipmentCancelled](),
			events.TypeOf[events.ShipmentCancellationRejected](),
			// When the parcel has left and the carrier's answer to the schedule request was lost.
			events.TypeOf[events.ShipmentScheduled](),
			events.TypeOf[events.ShipmentDispatched](),
		),
		consumer.On(a.Shipments, app.OnInventoryReservationFailed),
		consumer.On(a.Shipments, app.OnPaymentFailed),
	}
}

// emits lists every event type that the service publishes. Their schemas are registered at start.
func emits() []event.Type {
	return []event.Type{
		events.TypeOf[events.ShipmentScheduled](),
		events.TypeOf[events.ShipmentFailed](),
		events.TypeOf[events.ShipmentDispatched](),
		events.TypeOf[events.ShipmentDelivered](),
		events.TypeOf[events.ShipmentCancelled](),
		events.TypeOf[events.ShipmentCancellationRejected](),
	}
}
