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
	return []consumer.Subscription{
		consumer.On(a.OnPaymentFailed),
		consumer.On(a.OnPaymentRefunded),
		consumer.On(a.OnPaymentVoided),
		consumer.On(a.OnPaymentRefundFailed),
		consumer.On(a.OnInventoryReservationFailed),
		consumer.On(a.OnShipmentScheduled),
		consumer.On(a.OnShipmentFailed),
		consumer.On(a.OnShipmentDispatched),
		consumer.On(a.OnShipmentDelivered),
		consumer.On(a.OnShipmentCancellationRejected),
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
