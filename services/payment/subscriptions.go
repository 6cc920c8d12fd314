package payment

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/app"
)

// subscriptions lists every event and every command that the payment service reacts to. The consumer
// counts all others as ignored. The steps in between (InventoryReserved, ShipmentScheduled and later
// ones) move no money. Shipping decides whether OrderCancellationRequested is in time, so payment acts
// on ShipmentCancelled instead. In an orchestrated saga a command starts each step, and not one event
// does.
//
// No card is charged unless the schemas of all events that a charge can produce are known. A
// compensation emits no fact itself. The worker emits the result.
func subscriptions(a *app.App) []consumer.Subscription {
	charge := []event.Type{
		events.TypeOf[events.PaymentCompleted](),
		events.TypeOf[events.PaymentFailed](),
		events.TypeOf[events.PaymentVoided](),
	}
	answer := events.TypeOf[events.PaymentCommandAnswered]()
	return []consumer.Subscription{
		consumer.OnCall(a.Payments, a.ChargeOnOrderCreated, app.OnOrderCreated).Of(event.Choreographed).Emits(charge...),
		consumer.On(a.Payments, app.OnInventoryReservationFailed).Of(event.Choreographed),
		consumer.On(a.Payments, app.OnShipmentFailed).Of(event.Choreographed),
		consumer.On(a.Payments, app.OnShipmentCancelled).Of(event.Choreographed),

		consumer.OnCall(a.Payments, a.ChargeOnChargePayment, app.OnChargePayment).Of(event.Orchestrated).Emits(append(charge, answer)...),
		consumer.On(a.Payments, app.OnRefundPayment).Of(event.Orchestrated).Emits(answer),
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
		events.TypeOf[events.PaymentCommandAnswered](),
	}
}
