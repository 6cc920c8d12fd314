package shipping

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/app"
)

// subscriptions is everything the shipping service reacts to. What is not listed is
// counted as ignored: PaymentCompleted is inventory's turn, InventoryReleased and the
// refunds follow from what shipping said itself, and the order's own progress
// (OrderConfirmed, OrderShipped, …) does too. payment.events is read for PaymentFailed
// alone, which ends a shipment that nothing will ever be reserved for.
//
// The carrier is not asked while the schemas of what its answer can come to are not known.
func subscriptions(a *app.App) []consumer.Subscription {
	scheduling := []events.Type{ // also by OrderCreated, when InventoryReserved came first
		events.TypeOf[events.ShipmentScheduled](),
		events.TypeOf[events.ShipmentFailed](),
		events.TypeOf[events.ShipmentCancelled](),
	}
	return []consumer.Subscription{
		consumer.OnCall(a.AskOnOrderCreated, a.OnOrderCreated).Emits(scheduling...),
		consumer.OnCall(a.AskOnInventoryReserved, a.OnInventoryReserved).Emits(scheduling...),
		consumer.OnCall(a.AskOnOrderCancellationRequested, a.OnOrderCancellationRequested).Emits(
			events.TypeOf[events.ShipmentCancelled](),
			events.TypeOf[events.ShipmentCancellationRejected](),
			// When the parcel has left and the carrier's answer to the scheduling was lost.
			events.TypeOf[events.ShipmentScheduled](),
			events.TypeOf[events.ShipmentDispatched](),
		),
		consumer.On(a.OnInventoryReservationFailed),
		consumer.On(a.OnPaymentFailed),
	}
}

// emits is every event type the service publishes; their schemas are registered at
// start.
func emits() []events.Type {
	return []events.Type{
		events.TypeOf[events.ShipmentScheduled](),
		events.TypeOf[events.ShipmentFailed](),
		events.TypeOf[events.ShipmentDispatched](),
		events.TypeOf[events.ShipmentDelivered](),
		events.TypeOf[events.ShipmentCancelled](),
		events.TypeOf[events.ShipmentCancellationRejected](),
	}
}
