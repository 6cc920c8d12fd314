package app

import (
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/reaction"
)

// Status is an order's status in the read models.
type Status string

const (
	Pending    Status = "PENDING"
	Confirmed  Status = "CONFIRMED"
	Shipped    Status = "SHIPPED"
	Delivered  Status = "DELIVERED"
	Cancelling Status = "CANCELLING"
	Cancelled  Status = "CANCELLED"
)

// Fact is what one event means to the read models: a row of the timeline, and further changes.
// Fields that an event does not set are zero.
type Fact struct {
	EventID   uuid.UUID
	Topic     string
	Partition int32
	Offset    int64
	Type      string
	Version   int64     // of the event's aggregate
	At        time.Time // the event's own time, which is the same in every replay
	Detail    string

	Status       Status               // set for the order's own events
	Created      *events.OrderCreated // the data that only OrderCreated carries
	TrackingID   *string
	CancelReason *string
	Attention    *bool  // set for payment's events: whether a person has to look
	Captured     *Money // captured money
	Refunded     *Money // refunded money
}

// Money is an amount in minor units of a currency.
type Money struct {
	Amount   int64
	Currency string
}

// factOf returns the fact of an event that changes only the timeline.
func factOf[T event.Event](e consumer.Event[T], at time.Time, detail string) Fact {
	return Fact{EventID: e.ID, Topic: e.Topic, Partition: e.Partition, Offset: e.Offset, Type: e.Type, Version: e.AggregateVersion, At: at, Detail: detail}
}

// Order is what a set adds to the read models of one order.
type Order struct{ facts []Fact }

// decide adds a fact. Which facts are new, and what they amount to, is known when the set is saved.
func decide(o Order, s reaction.Step[Fact]) (reaction.Decision[Order], error) {
	o.facts = append(o.facts[:len(o.facts):len(o.facts)], s.Input)
	return reaction.Decision[Order]{State: o, Changed: true}, nil
}
