package orchestrator

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/internal/app"
)

// subscriptions lists every event that the orchestrator reacts to, all of orchestrated orders only. The
// consumer counts all other events as ignored: OrderShipped and OrderDelivered follow from the
// shipment's events.
func subscriptions(a *app.App) []consumer.Subscription {
	all := []consumer.Subscription{
		consumer.On(a.Sagas, app.OnOrderCreated),
		consumer.On(a.Sagas, app.OnOrderCancellationRequested),
		consumer.On(a.Sagas, app.OnOrderConfirmed),
		consumer.On(a.Sagas, app.OnOrderCancelled),
		consumer.On(a.Sagas, app.OnOrderCommandAnswered),
		consumer.On(a.Sagas, app.OnPaymentCompleted),
		consumer.On(a.Sagas, app.OnPaymentFailed),
		consumer.On(a.Sagas, app.OnPaymentRefunded),
		consumer.On(a.Sagas, app.OnPaymentVoided),
		consumer.On(a.Sagas, app.OnPaymentRefundFailed),
		consumer.On(a.Sagas, app.OnPaymentCommandAnswered),
		consumer.On(a.Sagas, app.OnInventoryReserved),
		consumer.On(a.Sagas, app.OnInventoryReservationFailed),
		consumer.On(a.Sagas, app.OnInventoryReleased),
		consumer.On(a.Sagas, app.OnInventoryCommandAnswered),
		consumer.On(a.Sagas, app.OnShipmentScheduled),
		consumer.On(a.Sagas, app.OnShipmentFailed),
		consumer.On(a.Sagas, app.OnShipmentDispatched),
		consumer.On(a.Sagas, app.OnShipmentDelivered),
		consumer.On(a.Sagas, app.OnShipmentCancelled),
		consumer.On(a.Sagas, app.OnShipmentCancellationRejected),
		consumer.On(a.Sagas, app.OnShipmentCommandAnswered),
	}
	for i := range all {
		// Which command an event leads to depends on the saga's state.
		all[i] = all[i].Of(event.Orchestrated).Emits(emits()...)
	}
	return all
}

// emits lists every event type that the service publishes: the commands. Their schemas are registered at
// start.
func emits() []event.Type {
	return []event.Type{
		events.TypeOf[events.ChargePayment](),
		events.TypeOf[events.RefundPayment](),
		events.TypeOf[events.ReserveInventory](),
		events.TypeOf[events.ReleaseInventory](),
		events.TypeOf[events.ScheduleShipment](),
		events.TypeOf[events.CancelShipment](),
		events.TypeOf[events.ConfirmOrder](),
		events.TypeOf[events.CancelOrder](),
	}
}
