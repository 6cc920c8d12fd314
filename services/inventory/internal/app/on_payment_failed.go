package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/internal/inventory"
)

// OnPaymentFailed leaves a tombstone: an order that is not paid holds nothing.
func (a *App) OnPaymentFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.PaymentFailed]) error {
	return a.react(ctx, tx, step{orderID: e.Data.OrderID, input: inventory.PaymentFailed, cause: e.Cause()})
}
