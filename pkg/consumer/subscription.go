package consumer

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
)

// Event is one domain fact as a handler sees it: the envelope (CloudEvents
// attributes), the decoded payload, and where in Kafka it was read.
type Event[T events.Event] struct {
	events.Envelope
	Data      T
	Topic     string
	Partition int32
	Offset    int64
	Attempt   int // from 1; more than 1 when an earlier one failed and is known to have
}

// Cause gives what the events a handler appends must carry on: the correlation
// id is inherited, the causation id is this event's id, and the trace goes on.
func (e Event[T]) Cause() outbox.Cause {
	return outbox.Cause{
		CorrelationID: e.CorrelationID,
		CausationID:   e.ID.String(),
		TraceParent:   e.TraceParent,
		TraceState:    e.TraceState,
	}
}

// Subscription is one line of a service's subscription table: which event type,
// and what the service does about it. On and OnCall make it.
type Subscription struct {
	// Type is the event type subscribed to; its topic is polled.
	Type events.Type
	// Retry is for records of this type that fail; what is zero is as in Config.
	Retry Retry

	emits  []events.Type                                      // what the handler may append: see Emits
	call   func(ctx context.Context, r received) (any, error) // nil with On
	handle func(ctx context.Context, tx pgx.Tx, r received, result any) error
}

// WithRetry returns the subscription with its own way of trying again.
func (s Subscription) WithRetry(r Retry) Subscription {
	s.Retry = r
	return s
}

// received is an event before its Go type is known.
type received struct {
	envelope  events.Envelope
	data      events.Event // pointer to the generated struct
	topic     string
	partition int32
	offset    int64
	attempt   int
}

// On subscribes to events of type T. The handler runs inside the batch's
// transaction, where the event's inbox row already stands; what it returns
// decides the record's outcome by its error kind (see package errs).
func On[T events.Event](handle func(ctx context.Context, tx pgx.Tx, e Event[T]) error) Subscription {
	return Subscription{
		Type: events.TypeOf[T](),
		handle: func(ctx context.Context, tx pgx.Tx, r received, _ any) error {
			e, err := typed[T](r)
			if err != nil {
				return err
			}
			return handle(ctx, tx, e)
		},
	}
}

// OnCall subscribes to events of type T whose handling needs a call to the
// outside world. The call runs before the transaction, so that no database lock
// is held while a foreign server thinks; its result is handed to the handler.
//
// The call must be idempotent by a key derived from the event's aggregate: it is
// made again after a crash between call and commit, and whenever the transaction
// has to be repeated. It must return an error of kind errs.Transient when the
// outcome is unknown; the record is then tried again, never taken as declined.
//
// What the handler appends to tell of the call is listed with Emits, so that no call is
// made whose outcome could not be told.
//
// Within one batch there is never a second record of the same key beside one
// that calls: each call sees what the previous record of its key committed.
func OnCall[T events.Event, R any](
	call func(ctx context.Context, e Event[T]) (R, error),
	handle func(ctx context.Context, tx pgx.Tx, e Event[T], r R) error,
) Subscription {
	return Subscription{
		Type: events.TypeOf[T](),
		call: func(ctx context.Context, r received) (any, error) {
			e, err := typed[T](r)
			if err != nil {
				return nil, err
			}
			return call(ctx, e)
		},
		handle: func(ctx context.Context, tx pgx.Tx, r received, result any) error {
			e, err := typed[T](r)
			if err != nil {
				return err
			}
			// A nil interface R arrives here as a nil any; the zero R is what it was.
			answer, _ := result.(R)
			return handle(ctx, tx, e, answer)
		},
	}
}

func typed[T events.Event](r received) (Event[T], error) {
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
	}, nil
}
