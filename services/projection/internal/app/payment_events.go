package app

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/projection/internal/db"
)

// OnPaymentCompleted counts the money taken on the day it was taken.
func (a *App) OnPaymentCompleted(ctx context.Context, tx pgx.Tx, e consumer.Event[events.PaymentCompleted]) error {
	q := db.New(tx)
	if fresh, err := record(ctx, q, e, e.Data.OccurredAt, ""); err != nil || !fresh {
		return err
	}
	if err := q.AddCapture(ctx, db.AddCaptureParams{
		Day: day(e.Data.OccurredAt), Currency: e.Data.Currency, Amount: e.Data.Amount,
	}); err != nil {
		return fmt.Errorf("count capture: %w", err)
	}
	return nil
}

// OnPaymentRefunded counts the money given back on the day it was given back,
// and ends the need for attention that was raised on the way.
func (a *App) OnPaymentRefunded(ctx context.Context, tx pgx.Tx, e consumer.Event[events.PaymentRefunded]) error {
	q := db.New(tx)
	if fresh, err := record(ctx, q, e, e.Data.OccurredAt, e.Data.Reason); err != nil || !fresh {
		return err
	}
	if err := q.AddRefund(ctx, db.AddRefundParams{
		Day: day(e.Data.OccurredAt), Currency: e.Data.Currency, Amount: e.Data.Amount,
	}); err != nil {
		return fmt.Errorf("count refund: %w", err)
	}
	return attention(ctx, q, e.Data.OrderID, e.AggregateVersion, false)
}

// OnPaymentRefundFailed: a refund, or the void of a charge that may have taken money,
// gets no answer, and somebody has to look at it.
func (a *App) OnPaymentRefundFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.PaymentRefundFailed]) error {
	q := db.New(tx)
	if fresh, err := record(ctx, q, e, e.Data.OccurredAt, e.Data.Reason); err != nil || !fresh {
		return err
	}
	return attention(ctx, q, e.Data.OrderID, e.AggregateVersion, true)
}

// OnPaymentFailed ends the need for attention that a void without an answer had raised:
// there is no money to give back. The order's own event sets the status.
func (a *App) OnPaymentFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.PaymentFailed]) error {
	q := db.New(tx)
	if fresh, err := record(ctx, q, e, e.Data.OccurredAt, e.Data.Reason); err != nil || !fresh {
		return err
	}
	return attention(ctx, q, e.Data.OrderID, e.AggregateVersion, false)
}

// OnPaymentVoided ends the need for attention as well, for the same reason.
func (a *App) OnPaymentVoided(ctx context.Context, tx pgx.Tx, e consumer.Event[events.PaymentVoided]) error {
	q := db.New(tx)
	if fresh, err := record(ctx, q, e, e.Data.OccurredAt, e.Data.Reason); err != nil || !fresh {
		return err
	}
	return attention(ctx, q, e.Data.OrderID, e.AggregateVersion, false)
}

// attention sets the flag, unless a later payment event has set it already.
func attention(ctx context.Context, q *db.Queries, orderID string, version int64, needed bool) error {
	if err := q.SetNeedsAttention(ctx, db.SetNeedsAttentionParams{
		OrderID: orderID, NeedsAttention: needed, Version: version,
	}); err != nil {
		return fmt.Errorf("set needs-attention: %w", err)
	}
	return nil
}

// day is the UTC day an instant falls on, at midnight.
func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
