package events

import (
	"fmt"
	"reflect"
	"slices"
)

// Event is an integration event: the value or a pointer to the value of one of the
// generated types.
type Event interface {
	// EventType returns the record's name without namespace, for example "OrderCreated".
	EventType() string
	// AvroSchema returns the Avro schema, as JSON, the event is written with.
	AvroSchema() string
	// AggregateKey returns the order id. It is the Kafka key on every topic, so that
	// all events about one order keep their order within a topic.
	AggregateKey() string
}

// Type says everything about one event type that is not in the event itself.
type Type struct {
	// Name is the record's name without namespace and the value of the ce_type header.
	Name string
	// Topic carries the events of this type; their key is Event.AggregateKey.
	Topic string
	// AggregateType names the aggregate whose version the event carries: "Order",
	// "Payment", "Reservation" or "Shipment".
	AggregateType string
	// Subject is the fully-qualified record name, under which the schema registry
	// keeps the versions of the schema ("record name strategy").
	Subject string
	// Schema is the schema in JSON that this build writes and reads with.
	Schema string
	// New returns a pointer to a new zero value of the Go type.
	New func() Event
}

// family is what all events of one producer have in common.
type family struct{ topic, aggregate, namespace string }

// The catalogue, grouped by topic; it never changes after start.
var catalogue = func() []Type {
	order := family{TopicOrderEvents, "Order", "eventshop.order.v1"}
	payment := family{TopicPaymentEvents, "Payment", "eventshop.payment.v1"}
	inventory := family{TopicInventoryEvents, "Reservation", "eventshop.inventory.v1"}
	shipping := family{TopicShippingEvents, "Shipment", "eventshop.shipping.v1"}
	notifications := family{TopicOrderNotifications, "Order", "eventshop.order.v1"}
	snapshots := family{TopicOrderSnapshots, "Order", "eventshop.order.v1"}

	return []Type{
		describe[OrderCreated](order),
		describe[OrderConfirmed](order),
		describe[OrderCancellationRequested](order),
		describe[OrderCancelled](order),
		describe[OrderShipped](order),
		describe[OrderDelivered](order),

		describe[PaymentCompleted](payment),
		describe[PaymentFailed](payment),
		describe[PaymentRefunded](payment),
		describe[PaymentVoided](payment),
		describe[PaymentRefundFailed](payment),

		describe[InventoryReserved](inventory),
		describe[InventoryReservationFailed](inventory),
		describe[InventoryReleased](inventory),

		describe[ShipmentScheduled](shipping),
		describe[ShipmentFailed](shipping),
		describe[ShipmentDispatched](shipping),
		describe[ShipmentDelivered](shipping),
		describe[ShipmentCancelled](shipping),
		describe[ShipmentCancellationRejected](shipping),

		describe[OrderPlaced](notifications),
		describe[OrderSnapshot](snapshots),
	}
}()

func describe[T any, P interface {
	*T
	Event
}](f family) Type {
	zero := P(new(T))
	return Type{
		Name:          zero.EventType(),
		Topic:         f.topic,
		AggregateType: f.aggregate,
		Subject:       f.namespace + "." + zero.EventType(),
		Schema:        zero.AvroSchema(),
		New:           func() Event { return P(new(T)) },
	}
}

// Catalogue returns all event types, grouped by topic. The slice is the caller's.
func Catalogue() []Type { return slices.Clone(catalogue) }

// Lookup finds a type by its name, which is the value of the ce_type header.
func Lookup(name string) (Type, bool) {
	i := slices.IndexFunc(catalogue, func(t Type) bool { return t.Name == name })
	if i < 0 {
		return Type{}, false
	}
	return catalogue[i], true
}

// TypeOf returns the catalogue's entry of a generated type, given as the struct or as
// a pointer to it. It panics for any other T: which types exist is known when the
// program is written, so this is no condition to handle while it runs.
func TypeOf[T Event]() Type {
	goType := reflect.TypeFor[T]()
	if goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	t, ok := Lookup(goType.Name())
	if !ok || reflect.TypeOf(t.New()).Elem() != goType {
		panic(fmt.Sprintf("events: %s is not in the catalogue", goType))
	}
	return t
}
