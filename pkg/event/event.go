package event

// Event is an integration event: the value of a generated type, or a pointer to one.
type Event interface {
	// EventType returns the record's name without namespace, for example "ParcelAccepted".
	EventType() string
	// AvroSchema returns the Avro schema, as JSON, that the event is written with.
	AvroSchema() string
	// AggregateKey returns the id of the aggregate, which is the Kafka key on every topic. All
	// events with one key keep their order within a topic.
	AggregateKey() string
}

// Type describes one event type: everything that is not in the event itself.
type Type struct {
	// Name is the record's name without namespace and the value of the ce_type header.
	Name string
	// Topic carries the events of this type; their key is Event.AggregateKey.
	Topic string
	// AggregateType names the aggregate whose version the event carries, for example "Parcel".
	AggregateType string
	// Subject is the fully-qualified record name, under which the schema registry stores the
	// versions of the schema ("record name strategy").
	Subject string
	// Schema is the schema in JSON with which this build writes and reads.
	Schema string
	// New returns a pointer to a new zero value of the Go type.
	New func() Event
}

// Family is what all event types of one producer have in common: the fields of [Type] of the same
// names, and the namespace of their records.
type Family struct{ Topic, AggregateType, Namespace string }

// Describe returns the entry of a generated type for a catalogue.
func Describe[T any, P interface {
	*T
	Event
}](f Family) Type {
	zero := P(new(T))
	return Type{
		Name:          zero.EventType(),
		Topic:         f.Topic,
		AggregateType: f.AggregateType,
		Subject:       f.Namespace + "." + zero.EventType(),
		Schema:        zero.AvroSchema(),
		New:           func() Event { return P(new(T)) },
	}
}
