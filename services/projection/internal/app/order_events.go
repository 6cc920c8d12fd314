package app

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/projection/internal/db"
)

// OnOrderCreated fills in what the other events cannot tell: who ordered what,
// for how much, to where.
func (a *App) OnOrderCreated(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderCreated]) error {
	q, o := db.New(tx), e.Data
	if fresh, err := setStatus(ctx, q, e, o.OccurredAt, Pending, ""); err != nil || !fresh {
		return err
	}
	n, err := q.CreateOrder(ctx, db.CreateOrderParams{
		OrderID:    o.OrderID,
		CustomerID: &o.Customer.ID, CustomerName: &o.Customer.Name, CustomerEmail: &o.Customer.Email,
		Street: &o.ShippingAddress.Street, City: &o.ShippingAddress.City,
		PostalCode: &o.ShippingAddress.PostalCode, Country: &o.ShippingAddress.Country,
		Currency: &o.Currency, TotalAmount: &o.TotalAmount, CreatedAt: &o.OccurredAt,
	})
	if err != nil {
		return fmt.Errorf("create order: %w", err)
	}
	if n == 0 {
		return nil // an order is created once: another OrderCreated came first
	}
	for i, it := range o.Items {
		if err := q.AddItem(ctx, db.AddItemParams{
			OrderID: o.OrderID, Line: int32(i + 1), Sku: it.SKU, Quantity: int64(it.Quantity), UnitPrice: it.UnitPrice,
		}); err != nil {
			return fmt.Errorf("add item: %w", err)
		}
	}
	return nil
}

// OnOrderConfirmed: paid, reserved, scheduled.
func (a *App) OnOrderConfirmed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderConfirmed]) error {
	_, err := setStatus(ctx, db.New(tx), e, e.Data.OccurredAt, Confirmed, e.Data.TrackingID)
	return err
}

// OnOrderCancellationRequested: the way back has begun, its end is open.
func (a *App) OnOrderCancellationRequested(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderCancellationRequested]) error {
	_, err := setStatus(ctx, db.New(tx), e, e.Data.OccurredAt, Cancelling, e.Data.Reason)
	return err
}

// OnOrderCancelled: everything is undone.
func (a *App) OnOrderCancelled(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderCancelled]) error {
	q := db.New(tx)
	if fresh, err := setStatus(ctx, q, e, e.Data.OccurredAt, Cancelled, e.Data.Reason); err != nil || !fresh {
		return err
	}
	if err := q.SetCancelReason(ctx, db.SetCancelReasonParams{OrderID: e.Data.OrderID, CancelReason: e.Data.Reason}); err != nil {
		return fmt.Errorf("set cancel reason: %w", err)
	}
	return nil
}

// OnOrderShipped: the parcel has left.
func (a *App) OnOrderShipped(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderShipped]) error {
	q := db.New(tx)
	if fresh, err := setStatus(ctx, q, e, e.Data.OccurredAt, Shipped, e.Data.TrackingID); err != nil || !fresh {
		return err
	}
	if err := q.SetTracking(ctx, db.SetTrackingParams{OrderID: e.Data.OrderID, TrackingID: e.Data.TrackingID}); err != nil {
		return fmt.Errorf("set tracking id: %w", err)
	}
	return nil
}

// OnOrderDelivered: the end of the happy path.
func (a *App) OnOrderDelivered(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
	_, err := setStatus(ctx, db.New(tx), e, e.Data.OccurredAt, Delivered, "")
	return err
}
