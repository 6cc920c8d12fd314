package app

import (
	"context"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
)

// What shipping tells shows in the timeline; the status follows the order itself.

// OnShipmentScheduled shows the carrier has accepted the parcel.
func (a *App) OnShipmentScheduled(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentScheduled]) error {
	return show(ctx, tx, e, e.Data.OccurredAt, e.Data.TrackingID)
}

// OnShipmentFailed shows why it has not.
func (a *App) OnShipmentFailed(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentFailed]) error {
	return show(ctx, tx, e, e.Data.OccurredAt, e.Data.Reason)
}

// OnShipmentDispatched shows the parcel has left.
func (a *App) OnShipmentDispatched(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentDispatched]) error {
	return show(ctx, tx, e, e.Data.OccurredAt, e.Data.TrackingID)
}

// OnShipmentDelivered shows it has arrived.
func (a *App) OnShipmentDelivered(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentDelivered]) error {
	return show(ctx, tx, e, e.Data.OccurredAt, "")
}

// OnShipmentCancelled shows the parcel will not leave.
func (a *App) OnShipmentCancelled(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentCancelled]) error {
	return show(ctx, tx, e, e.Data.OccurredAt, e.Data.Reason)
}

// OnShipmentCancellationRejected shows it had left before it could be stopped.
func (a *App) OnShipmentCancellationRejected(ctx context.Context, tx pgx.Tx, e consumer.Event[events.ShipmentCancellationRejected]) error {
	return show(ctx, tx, e, e.Data.OccurredAt, e.Data.Reason)
}
