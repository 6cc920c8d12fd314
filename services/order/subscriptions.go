package order

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
)

// subscriptions is everything the order service reacts to. What is not listed is
// counted as ignored: PaymentCompleted and InventoryReserved are steps on the way
// that ShipmentScheduled includes, ShipmentCancelled is followed by the money that
// decides, InventoryReleased is inventory's own affair.
func subscriptions(a *app.App) []consumer.Subscription {
	// Every change of an order publishes its snapshot, and which other event follows
	// depends on the order's state as much as on the input.
	changes := []events.Type{
		events.TypeOf[events.OrderConfirmed](),
		events.TypeOf[events.OrderCancellationRequested](),
		events.TypeOf[events.OrderCancelled](),
		events.TypeOf[events.OrderShipped](),
		events.TypeOf[events.OrderDelivered](),
		events.TypeOf[events.OrderSnapshot](),
	}
	return []consumer.Subscription{
		consumer.On(a.OnPaymentFailed).Emits(changes...),
		consumer.On(a.OnPaymentRefunded).Emits(changes...),
		consumer.On(a.OnPaymentVoided).Emits(changes...),
		consumer.On(a.OnPaymentRefundFailed).Emits(changes...),
		consumer.On(a.OnInventoryReservationFailed).Emits(changes...),
		consumer.On(a.OnShipmentScheduled).Emits(changes...),
		consumer.On(a.OnShipmentFailed).Emits(changes...),
		consumer.On(a.OnShipmentDispatched).Emits(changes...),
		consumer.On(a.OnShipmentDelivered).Emits(changes...),
		consumer.On(a.OnShipmentCancellationRejected).Emits(changes...),
	}
}

// emits is every event type the service publishes; their schemas are registered at
// start.
func emits() []events.Type {
	return []events.Type{
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
