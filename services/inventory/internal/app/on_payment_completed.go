package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/internal/inventory"
)

// OnPaymentCompleted is the trigger: the order's items are reserved, or, when they
// are not known yet, as soon as OrderCreated brings them.
func (a *App) OnPaymentCompleted(ctx context.Context, tx pgx.Tx, e consumer.Event[events.PaymentCompleted]) error {
	return a.react(ctx, tx, step{orderID: e.Data.OrderID, input: inventory.PaymentCompleted, cause: e.Cause()})
}
