package order

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
)

// subscriptions lists every event and command that the order service reacts to. The consumer counts all other
// events as ignored: ShipmentScheduled implies PaymentCompleted and InventoryReserved; after
// ShipmentCancelled, the event about the money decides; InventoryReleased concerns only inventory.
//
// A choreographed order is moved on by the events of the participants, an orchestrated one by the commands.
// What the outside did (the parcel left or arrived, a cancellation came too late, a refund cannot be made)
// means the same in both styles.
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
	answers := append(changes, events.TypeOf[events.OrderCommandAnswered]())
	return []consumer.Subscription{
		consumer.On(a.Orders, app.OnPaymentFailed).Of(event.Choreographed).Emits(changes...),
		consumer.On(a.Orders, app.OnPaymentRefunded).Of(event.Choreographed).Emits(changes...),
		consumer.On(a.Orders, app.OnPaymentVoided).Of(event.Choreographed).Emits(changes...),
		consumer.On(a.Orders, app.OnPaymentRefundFailed).Emits(changes...),
		consumer.On(a.Orders, app.OnInventoryReservationFailed).Of(event.Choreographed).Emits(changes...),
		consumer.On(a.Orders, app.OnShipmentScheduled).Of(event.Choreographed).Emits(changes...),
		consumer.On(a.Orders, app.OnShipmentFailed).Of(event.Choreographed).Emits(changes...),
		consumer.On(a.Orders, app.OnShipmentDispatched).Emits(changes...),
		consumer.On(a.Orders, app.OnShipmentDelivered).Emits(changes...),
		consumer.On(a.Orders, app.OnShipmentCancellationRejected).Emits(changes...),
		consumer.On(a.Orders, app.OnConfirmOrder).Of(event.Orchestrated).Emits(answers...),
		consumer.On(a.Orders, app.OnCancelOrder).Of(event.Orchestrated).Emits(answers...),
	}
}

// participants lists the consumer groups of an orchestrated saga. A process that knows both styles of the saga
// subscribes to the topic beside its group; one of a release before does not.
func participants() []app.Participant {
	return []app.Participant{
		{Group: name, Topic: events.TopicOrderCommands},
		{Group: "payment", Topic: events.TopicPaymentCommands},
		{Group: "inventory", Topic: events.TopicInventoryCommands},
		{Group: "shipping", Topic: events.TopicShippingCommands},
		{Group: "orchestrator", Topic: events.TopicOrderEvents},
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
		events.TypeOf[events.OrderCommandAnswered](),
		events.TypeOf[events.OrderPlaced](),
		events.TypeOf[events.OrderSnapshot](),
	}
}
