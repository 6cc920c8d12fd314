package projection

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/services/projection/internal/app"
)

// subscriptions lists every event type except OrderPlaced and OrderSnapshot, which add nothing to
// the other events. Commands are not facts and are on topics that the service does not read; the answers to
// them are events.
func subscriptions(a *app.App) []consumer.Subscription {
	return []consumer.Subscription{
		consumer.On(a.ReadModels, app.OnOrderCreated),
		consumer.On(a.ReadModels, app.OnOrderConfirmed),
		consumer.On(a.ReadModels, app.OnOrderCancellationRequested),
		consumer.On(a.ReadModels, app.OnOrderCancelled),
		consumer.On(a.ReadModels, app.OnOrderShipped),
		consumer.On(a.ReadModels, app.OnOrderDelivered),
		consumer.On(a.ReadModels, app.OnOrderCommandAnswered),

		consumer.On(a.ReadModels, app.OnPaymentCompleted),
		consumer.On(a.ReadModels, app.OnPaymentFailed),
		consumer.On(a.ReadModels, app.OnPaymentRefunded),
		consumer.On(a.ReadModels, app.OnPaymentVoided),
		consumer.On(a.ReadModels, app.OnPaymentRefundFailed),
		consumer.On(a.ReadModels, app.OnPaymentCommandAnswered),

		consumer.On(a.ReadModels, app.OnInventoryReserved),
		consumer.On(a.ReadModels, app.OnInventoryReservationFailed),
		consumer.On(a.ReadModels, app.OnInventoryReleased),
		consumer.On(a.ReadModels, app.OnInventoryCommandAnswered),

		consumer.On(a.ReadModels, app.OnShipmentScheduled),
		consumer.On(a.ReadModels, app.OnShipmentFailed),
		consumer.On(a.ReadModels, app.OnShipmentDispatched),
		consumer.On(a.ReadModels, app.OnShipmentDelivered),
		consumer.On(a.ReadModels, app.OnShipmentCancelled),
		consumer.On(a.ReadModels, app.OnShipmentCancellationRejected),
		consumer.On(a.ReadModels, app.OnShipmentCommandAnswered),
	}
}
