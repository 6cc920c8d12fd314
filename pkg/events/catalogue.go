package events

import (
	"sync"

	"eventshop.example/pkg/event"
)

// Catalogue returns all event types of the shop, grouped by topic. It costs nothing to call per record.
func Catalogue() event.Catalogue { return catalogue() }

var catalogue = sync.OnceValue(newCatalogue)

func newCatalogue() event.Catalogue {
	order := event.Family{Topic: TopicOrderEvents, AggregateType: "Order", Namespace: "eventshop.order.v1"}
	payment := event.Family{Topic: TopicPaymentEvents, AggregateType: "Payment", Namespace: "eventshop.payment.v1"}
	inventory := event.Family{Topic: TopicInventoryEvents, AggregateType: "Reservation", Namespace: "eventshop.inventory.v1"}
	shipping := event.Family{Topic: TopicShippingEvents, AggregateType: "Shipment", Namespace: "eventshop.shipping.v1"}
	notifications := event.Family{Topic: TopicOrderNotifications, AggregateType: "Order", Namespace: "eventshop.order.v1"}
	snapshots := event.Family{Topic: TopicOrderSnapshots, AggregateType: "Order", Namespace: "eventshop.order.v1"}

	// Commands of the orchestrated saga carry the version of the saga and have the namespace of the
	// service that they are for.
	command := func(topic, service string) event.Family {
		return event.Family{Topic: topic, AggregateType: "Saga", Namespace: "eventshop." + service + ".v1"}
	}

	return event.NewCatalogue(
		event.Describe[OrderCreated](order),
		event.Describe[OrderConfirmed](order),
		event.Describe[OrderCancellationRequested](order),
		event.Describe[OrderCancelled](order),
		event.Describe[OrderShipped](order),
		event.Describe[OrderDelivered](order),
		event.Describe[OrderCommandAnswered](order),

		event.Describe[PaymentCompleted](payment),
		event.Describe[PaymentFailed](payment),
		event.Describe[PaymentRefunded](payment),
		event.Describe[PaymentVoided](payment),
		event.Describe[PaymentRefundFailed](payment),
		event.Describe[PaymentCommandAnswered](payment),

		event.Describe[InventoryReserved](inventory),
		event.Describe[InventoryReservationFailed](inventory),
		event.Describe[InventoryReleased](inventory),
		event.Describe[InventoryCommandAnswered](inventory),

		event.Describe[ShipmentScheduled](shipping),
		event.Describe[ShipmentFailed](shipping),
		event.Describe[ShipmentDispatched](shipping),
		event.Describe[ShipmentDelivered](shipping),
		event.Describe[ShipmentCancelled](shipping),
		event.Describe[ShipmentCancellationRejected](shipping),
		event.Describe[ShipmentCommandAnswered](shipping),

		event.Describe[OrderPlaced](notifications),
		event.Describe[OrderSnapshot](snapshots),

		event.Describe[ConfirmOrder](command(TopicOrderCommands, "order")),
		event.Describe[CancelOrder](command(TopicOrderCompensations, "order")),
		event.Describe[ChargePayment](command(TopicPaymentCommands, "payment")),
		event.Describe[RefundPayment](command(TopicPaymentCompensations, "payment")),
		event.Describe[ReserveInventory](command(TopicInventoryCommands, "inventory")),
		event.Describe[ReleaseInventory](command(TopicInventoryCompensations, "inventory")),
		event.Describe[ScheduleShipment](command(TopicShippingCommands, "shipping")),
		event.Describe[CancelShipment](command(TopicShippingCompensations, "shipping")),
	)
}

// TypeOf returns the catalogue's entry of a generated type, as [event.TypeOf] does.
func TypeOf[T event.Event]() event.Type { return event.TypeOf[T](Catalogue()) }
