package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/internal/inventory"
)

// OnPaymentVoided leaves a tombstone: the charge was stopped before it moved money.
func (a *App) OnPaymentVoided(ctx context.Context, tx pgx.Tx, e consumer.Event[events.PaymentVoided]) error {
	return a.react(ctx, tx, step{orderID: e.Data.OrderID, input: inventory.PaymentVoided, cause: e.Cause()})
}
