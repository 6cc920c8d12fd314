package order

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
)

// subscriptions lists every event that the order service reacts to. The consumer counts all other
// events as ignored: ShipmentScheduled implies PaymentCompleted and InventoryReserved; after
// ShipmentCancelled, the event about the money decides; InventoryReleased concerns only inventory.
func subscriptions(a *app.App) []consumer.Subscription {
	// Any change of an order may publish OrderSnapshot. Which other event follows depends on both
	// the order's state and the input.
	changes := []event.Type{
		events.TypeOf[events.OrderConfirmed](),
		events.TypeOf[events.OrderCancellationRequested](),
		events.TypeOf[events.OrderCancelled](),
		events.TypeOf[events.OrderShipped](),
		events.TypeOf[events.OrderDelivered](),
		events.TypeOf[events.OrderSnapshot](),
	}
	return []consumer.Subscription{
		consumer.On(a.Orders, app.OnPaymentFailed).Emits(changes...),
		consumer.On(a.Orders, app.OnPaymentRefunded).Emits(changes...),
		consumer.On(a.Orders, app.OnPaymentVoided).Emits(changes...),
		consumer.On(a.Orders, app.OnPaymentRefundFailed).Emits(changes...),
		consumer.On(a.Orders, app.OnInventoryReservationFailed).Emits(changes...),
		consumer.On(a.Orders, app.OnShipmentScheduled).Emits(changes...),
		consumer.On(a.Orders, app.OnShipmentFailed).Emits(changes...),
		consumer.On(a.Orders, app.OnShipmentDispatched).Emits(changes...),
		consumer.On(a.Orders, app.OnShipmentDelivered).Emits(changes...),
		consumer.On(a.Orders, app.OnShipmentCancellationRejected).Emits(changes...),
	}
}

// emits lists every event type that the service publishes. Their schemas are registered at start.
func emits() []event.Type {
	return []event.Type{
		events.TypeOf[events.OrderCreated](),
		events.TypeOf[events.OrderConfirmed](),
		events.TypeOf[events.OrderCancellationRequested](),
		events.TypeOf[events.OrderCancelled](),
		events.TypeOf[events.OrderShipped](),
		events.TypeOf[events.OrderDelivered](),
		events.TypeOf[events.OrderPlaced](),
		events.TypeOf[events.OrderSnapshot](),
	}
}
