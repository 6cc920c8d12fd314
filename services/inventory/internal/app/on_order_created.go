package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/internal/inventory"
)

// OnOrderCreated learns the items. They are reserved when the payment is known,
// which may be now.
func (a *App) OnOrderCreated(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderCreated]) error {
	items := make([]inventory.Item, len(e.Data.Items))
	for i, it := range e.Data.Items {
		items[i] = inventory.Item{SKU: it.SKU, Quantity: int64(it.Quantity)}
	}
	return a.react(ctx, tx, step{orderID: e.Data.OrderID, input: inventory.OrderCreated, cause: e.Cause(), items: items})
}
