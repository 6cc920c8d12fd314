package consumer

import (
	"cmp"
	"context"
	"fmt"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/telemetry"
)

// Event is one event as a handler sees it: the envelope (CloudEvents attributes), the decoded
// payload, and the place in Kafka where it was read.
type Event[T event.Event] struct {
	event.Envelope
	Data      T
	Topic     string
	Partition int32
	Offset    int64
	Attempt   int // from 1; more than 1 when an earlier attempt failed and the failure was stored

	span string // traceparent of this attempt, a child of the envelope's
}

// Cause returns what the events that a handler appends carry on. They inherit the saga's style and the
// correlation id, their causation id is this event's id, and the trace continues. Their parent in the
// trace is the attempt that handles this event, not the event's own parent, because the event causes
// them and they are not its siblings. For an event that no consumer has read, each call of Cause creates an
// attempt of its own.
func (e Event[T]) Cause() outbox.Cause {
	span := e.span
	if span == "" {
		span = telemetry.ChildTraceParent(e.TraceParent)
	}
	return outbox.Cause{
		Style:         cmp.Or(e.Style, event.Choreographed),
		CorrelationID: e.CorrelationID,
		CausationID:   e.ID.String(),
		TraceParent:   span,
		TraceState:    e.TraceState,
	}
}

// Subscription is one line of a service's subscription table: an event type and what the service
// does about it. [On] and [OnCall] create it.
type Subscription struct {
	// Type is the event type subscribed to; its topic is polled. [New] takes it from the catalogue.
	// Before that only its name is set.
	Type event.Type
	// Retry applies to records of this type that fail. Zero fields take the values of [Config].
	Retry Retry

	style  event.Style // of the events that it is to; "": of both
	typeIn func(event.Catalogue) event.Type
	emits  []event.Type                                                              // what the handler may append: see Emits
	look   func(ctx context.Context, q postgres.Querier, keys []string) (any, error) // the states that calls see; nil with On
	call   func(states any, r received) (func(context.Context) (any, error), error)  // the call that is due, or nil; nil with On
	model  any                                                                       // the reaction.Model: its steps form one set per transaction
	newSet func() set                                                                // of the model
	step   func(s set, it *item) (step, error)
}

// WithRetry returns the subscription with a retry policy of its own.
func (s Subscription) WithRetry(r Retry) Subscription {
	s.Retry = r
	return s
}

// Of returns the subscription to events whose saga has the style. The consumer ignores events of the
// other style, and counts them as such: there, something else starts the step.
func (s Subscription) Of(style event.Style) Subscription {
	s.style = style
	return s
}

// Style returns the style given to [Subscription.Of], or "" when the subscription is to events of both.
func (s Subscription) Style() event.Style { return s.style }

// received is an event before its Go type is known.
type received struct {
	envelope  event.Envelope
	data      event.Event // pointer to the generated struct
	topic     string
	partition int32
	offset    int64
	attempt   int
	span      string // traceparent of this attempt; "" when the envelope could not be read
}

// nameOf returns the name of a generated type, the value of the ce_type header.
func nameOf[T event.Event]() string {
	var zero T
	return zero.EventType()
}

func typed[T event.Event](r received) (Event[T], error) {
	data, ok := any(r.data).(*T)
	if !ok {
		return Event[T]{}, fmt.Errorf("event %s decoded as %T, not as the subscribed type", r.envelope.Type, r.data)
	}
	return Event[T]{
		Envelope:  r.envelope,
		Data:      *data,
		Topic:     r.topic,
		Partition: r.partition,
		Offset:    r.offset,
		Attempt:   r.attempt,
		span:      r.span,
	}, nil
}
