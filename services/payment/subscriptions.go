package payment

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/app"
)

// subscriptions is everything the payment service reacts to. What is not listed is
// counted as ignored: the steps in between (InventoryReserved, ShipmentScheduled and
// what follows) move no money, and of OrderCancellationRequested shipping decides
// whether it is not too late; payment acts on ShipmentCancelled.
//
// No card is charged while the schemas of what a charge can come to are not known. A
// compensation tells nothing itself: what becomes of the money, the worker tells.
func subscriptions(a *app.App) []consumer.Subscription {
	return []consumer.Subscription{
		consumer.OnCall(a.ChargeOnOrderCreated, a.OnOrderCreated).Emits(
			events.TypeOf[events.PaymentCompleted](),
			events.TypeOf[events.PaymentFailed](),
			events.TypeOf[events.PaymentVoided](),
		),
		consumer.On(a.OnInventoryReservationFailed),
		consumer.On(a.OnShipmentFailed),
		consumer.On(a.OnShipmentCancelled),
	}
}

// emits is every event type the service publishes; their schemas are registered at
// start.
func emits() []events.Type {
	return []events.Type{
		events.TypeOf[events.PaymentCompleted](),
		events.TypeOf[events.PaymentFailed](),
		events.TypeOf[events.PaymentRefunded](),
		events.TypeOf[events.PaymentVoided](),
		events.TypeOf[events.PaymentRefundFailed](),
	}
}
