package app

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/order/order"
)

// PlaceOrder is the command that a customer sends. Amounts are in minor units.
type PlaceOrder struct {
	Customer        order.Customer
	ShippingAddress order.Address
	Items           []order.Item
	TotalAmount     int64
	Currency        string
	Channel         order.Channel // "": not specified
	Style           order.Style   // "": by the ramp; see [App.GetSagaStyle]
	ConfirmWithin   time.Duration // 0: the service's default
}

// PlaceOrder creates an order in the state PENDING and starts its saga. The error has kind Invalid
// and names the invalid fields, or it has kind Transient; [ErrOverloaded] is in its chain when too many
// orders are PENDING. It is a [*NotReadyError] when the command asks for an orchestrated saga and a participant
// does not know styles. The caller calls committed after the commit.
func (a *App) PlaceOrder(ctx context.Context, tx pgx.Tx, p PlaceOrder) (o order.Order, committed func(context.Context), err error) {
	id, err := newID()
	if err != nil {
		return order.Order{}, nil, err
	}
	style, err := a.styleFor(ctx, tx, p.Customer.ID, p.Style)
	if err != nil {
		return order.Order{}, nil, err
	}
	in := Input{Place: &order.Place{
		OrderID:         id.String(),
		Customer:        p.Customer,
		ShippingAddress: p.ShippingAddress,
		Items:           p.Items,
		TotalAmount:     p.TotalAmount,
		Currency:        p.Currency,
		Channel:         p.Channel,
		Style:           style,
		ConfirmWithin:   a.confirmWithin(p.ConfirmWithin),
	}}
	return a.place(ctx, tx, id, in)
}

// place runs the step with which an order becomes PENDING, if it is admitted.
func (a *App) place(ctx context.Context, tx pgx.Tx, id uuid.UUID, in Input) (o order.Order, committed func(context.Context), err error) {
	if err := a.admission.admit(a.now()); err != nil {
		a.metrics.refused.Inc()
		return order.Order{}, nil, err
	}
	o, report, err := a.command(ctx, tx, id.String(), in)
	if err != nil {
		return order.Order{}, nil, err
	}
	return o, func(ctx context.Context) {
		a.admission.accepted(id, a.now())
		a.metrics.accepted.WithLabelValues(string(o.Style)).Inc()
		report(ctx)
	}, nil
}

// command runs a customer's command as a step of its own.
func (a *App) command(ctx context.Context, tx pgx.Tx, id string, in Input) (o order.Order, committed func(context.Context), err error) {
	cause := causeOf(ctx, id)
	decisions, err := a.Orders.Run(ctx, tx, a.Orders.Step(id, in, cause))
	if err != nil {
		return order.Order{}, nil, err
	}
	telemetry.Concerns(ctx, id)
	return decisions[0].State.Order, func(ctx context.Context) {
		reaction.Committed(telemetry.With(ctx, id, "", cause.CorrelationID), decisions...)
	}, nil
}

// newID returns an order id. Version 7 sorts by time, so new keys are added at one end of every index
// that contains them.
func newID() (uuid.UUID, error) {
	id, err := uuid.NewV7()
	return id, errs.Wrap(errs.Internal, err, "make order id")
}

// confirmWithin returns the deadline of an order's saga; 0 asks for the service's default.
func (a *App) confirmWithin(asked time.Duration) time.Duration {
	return cmp.Or(asked, a.sagaDeadline)
}

// causeOf returns the cause of a change that a request or a deadline makes. It takes the
// correlation id and the trace from ctx. Without a correlation id it uses the order's id, because
// operators follow the saga. Without a trace it starts a new one. In the trace, the request is the
// parent of the events.
func causeOf(ctx context.Context, orderID string) outbox.Cause {
	correlation := telemetry.FromContext(ctx).CorrelationID
	if correlation == "" {
		correlation = orderID
	}
	parent, state := telemetry.Trace(ctx)
	if parent == "" {
		parent = telemetry.NewTraceParent() // all events of this change share it
	}
	return outbox.Cause{CorrelationID: correlation, TraceParent: parent, TraceState: state}
}
