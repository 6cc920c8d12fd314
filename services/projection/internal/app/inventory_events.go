package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
)

// What inventory tells shows in the timeline; the status follows the order itself.

// OnInventoryReserved shows that the items are held.
func (a *App) OnInventoryReserved(ctx context.Context, tx pgx.Tx, e consumer.Event[events.InventoryReserved]) error {
	return show(ctx, tx, e, e.Data.OccurredAt, "")
}

// OnInventoryReservationFailed shows why they are not.
func (a *App) OnInventoryReservationFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.InventoryReservationFailed]) error {
	return show(ctx, tx, e, e.Data.OccurredAt, e.Data.Reason)
}

// OnInventoryReleased shows that they went back.
func (a *App) OnInventoryReleased(ctx context.Context, tx pgx.Tx, e consumer.Event[events.InventoryReleased]) error {
	return show(ctx, tx, e, e.Data.OccurredAt, e.Data.Reason)
}
