package payment

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/app"
)

// subscriptions lists every event that the payment service reacts to. The consumer counts all other
// events as ignored. The steps in between (InventoryReserved, ShipmentScheduled and later ones)
// move no money. Shipping decides whether OrderCancellationRequested is in time, so payment acts on
// ShipmentCancelled instead.
//
// No card is charged unless the schemas of all events that a charge can produce are known. A
// compensation emits nothing itself. The worker emits the result.
func subscriptions(a *app.App) []consumer.Subscription {
	return []consumer.Subscription{
		consumer.OnCall(a.Payments, a.ChargeOnOrderCreated, app.OnOrderCreated).Emits(
			events.TypeOf[events.PaymentCompleted](),
			events.TypeOf[events.PaymentFailed](),
			events.TypeOf[events.PaymentVoided](),
		),
		consumer.On(a.Payments, app.OnInventoryReservationFailed),
		consumer.On(a.Payments, app.OnShipmentFailed),
		consumer.On(a.Payments, app.OnShipmentCancelled),
	}
}

// emits lists every event type that the service publishes. Their schemas are registered at start.
func emits() []event.Type {
	return []event.Type{
		events.TypeOf[events.PaymentCompleted](),
		events.TypeOf[events.PaymentFailed](),
		events.TypeOf[events.PaymentRefunded](),
		events.TypeOf[events.PaymentVoided](),
		events.TypeOf[events.PaymentRefundFailed](),
	}
}
