package shipping

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/app"
)

// subscriptions lists every event and every command that the shipping service reacts to. The consumer
// counts all others as ignored: inventory reacts to PaymentCompleted, and InventoryReleased, the refunds
// and the order's own progress (OrderConfirmed, OrderShipped, …) follow from events that shipping
// emitted. The service reads payment.events only for PaymentFailed, which ends a shipment that will
// never have reserved goods. In an orchestrated saga a command starts each step, and not one event does.
//
// The carrier is not called unless the schemas of all events that its answer can produce are known.
func subscriptions(a *app.App) []consumer.Subscription {
	scheduling := []event.Type{ // also for OrderCreated, when InventoryReserved came first
		events.TypeOf[events.ShipmentScheduled](),
		events.TypeOf[events.ShipmentFailed](),
		events.TypeOf[events.ShipmentCancelled](),
	}
	cancelling := []event.Type{
		events.TypeOf[events.ShipmentCancelled](),
		events.TypeOf[events.ShipmentCancellationRejected](),
		// When the parcel has left and the carrier's answer to the schedule request was lost.
		events.TypeOf[events.ShipmentScheduled](),
		events.TypeOf[events.ShipmentDispatched](),
	}
	answer := events.TypeOf[events.ShipmentCommandAnswered]()
	return []consumer.Subscription{
		app.Asking(a, app.OnOrderCreated).Of(event.Choreographed).Emits(scheduling...),
		app.Asking(a, app.OnInventoryReserved).Of(event.Choreographed).Emits(scheduling...),
		app.Asking(a, app.OnOrderCancellationRequested).Of(event.Choreographed).Emits(cancelling...),
		consumer.On(a.Shipments, app.OnInventoryReservationFailed).Of(event.Choreographed),
		consumer.On(a.Shipments, app.OnPaymentFailed).Of(event.Choreographed),

		app.Asking(a, app.OnScheduleShipment).Of(event.Orchestrated).Emits(append(scheduling, answer)...),
		app.Asking(a, app.OnCancelShipment).Of(event.Orchestrated).Emits(append(cancelling, answer)...),
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
		events.TypeOf[events.ShipmentCommandAnswered](),
	}
}
