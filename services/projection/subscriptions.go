package projection

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/services/projection/internal/app"
)

// subscriptions is every event there is but two: OrderPlaced and OrderSnapshot
// say nothing the others have not said.
func subscriptions(a *app.App) []consumer.Subscription {
	return []consumer.Subscription{
		consumer.On(a.OnOrderCreated),
		consumer.On(a.OnOrderConfirmed),
		consumer.On(a.OnOrderCancellationRequested),
		consumer.On(a.OnOrderCancelled),
		consumer.On(a.OnOrderShipped),
		consumer.On(a.OnOrderDelivered),

		consumer.On(a.OnPaymentCompleted),
		consumer.On(a.OnPaymentFailed),
		consumer.On(a.OnPaymentRefunded),
		consumer.On(a.OnPaymentVoided),
		consumer.On(a.OnPaymentRefundFailed),

		consumer.On(a.OnInventoryReserved),
		consumer.On(a.OnInventoryReservationFailed),
		consumer.On(a.OnInventoryReleased),

		consumer.On(a.OnShipmentScheduled),
		consumer.On(a.OnShipmentFailed),
		consumer.On(a.OnShipmentDispatched),
		consumer.On(a.OnShipmentDelivered),
		consumer.On(a.OnShipmentCancelled),
		consumer.On(a.OnShipmentCancellationRejected),
	}
}
