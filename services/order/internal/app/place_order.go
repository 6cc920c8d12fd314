package app

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/order/internal/order"
)

// PlaceOrder is what a customer sends. Amounts are in minor units.
type PlaceOrder struct {
	Customer        order.Customer
	ShippingAddress order.Address
	Items           []order.Item
	TotalAmount     int64
	Currency        string
	ConfirmWithin   time.Duration // 0: the service's default
}

// PlaceOrder begins an order, which is then PENDING, and its saga. The error is of
// kind Invalid and names the fields at fault, or Transient.
func (a *App) PlaceOrder(ctx context.Context, tx pgx.Tx, p PlaceOrder) (order.Order, error) {
	// Version 7 sorts by time, which keeps the indexes of every table it is a key
	// of growing at one end.
	id, err := uuid.NewV7()
	if err != nil {
		return order.Order{}, errs.Wrap(errs.Internal, err, "make order id")
	}
	within := p.ConfirmWithin
	if within == 0 {
		within = a.sagaDeadline
	}
	news, err := order.Place{
		OrderID:         id.String(),
		Customer:        p.Customer,
		ShippingAddress: p.ShippingAddress,
		Items:           p.Items,
		TotalAmount:     p.TotalAmount,
		Currency:        p.Currency,
		At:              a.now(),
		ConfirmWithin:   within,
	}.Events()
	if err != nil {
		return order.Order{}, err
	}
	cause := causeOf(ctx, id.String())
	ctx = telemetry.With(ctx, id.String(), "", cause.CorrelationID)
	o, err := a.commit(ctx, tx, order.Order{}, news, cause)
	if err != nil {
		return order.Order{}, err
	}
	a.metrics.moved(order.Order{}, o, a.now())
	a.log.InfoContext(ctx, "order placed", "customer_id", o.Customer.ID,
		"total", o.TotalAmount, "currency", o.Currency, "version", o.Version)
	return o, nil
}

// causeOf begins a chain of causes: the correlation id and trace of the request, or,
// where there was none, the order's id (the saga is what people follow) and a new
// trace.
func causeOf(ctx context.Context, orderID string) outbox.Cause {
	correlation := telemetry.FromContext(ctx).CorrelationID
	if correlation == "" {
		correlation = orderID
	}
	parent, state := telemetry.Trace(ctx)
	return outbox.Cause{CorrelationID: correlation, TraceParent: telemetry.ChildTraceParent(parent), TraceState: state}
}
