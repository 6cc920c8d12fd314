package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/services/shipping/internal/db"
	"eventshop.example/services/shipping/internal/shipping"
)

// tell appends the facts in their order, each as the shipment's next version.
func (a *App) tell(ctx context.Context, tx pgx.Tx, row *db.Shipment, s step, facts []shipping.Fact) error {
	if len(facts) == 0 {
		return nil
	}
	cause := s.cause
	if cause.CorrelationID == "" {
		cause.CorrelationID = row.CorrelationID
	}
	entries := make([]outbox.Entry, len(facts))
	for i, fact := range facts {
		event, err := a.event(fact, *row)
		if err != nil {
			return err
		}
		row.Version++
		entries[i] = outbox.Entry{Event: event, AggregateID: row.OrderID, Version: row.Version, Cause: cause}
	}
	if err := a.outbox.Append(ctx, tx, entries...); err != nil {
		return fmt.Errorf("append %v of order %s: %w", facts, row.OrderID, err)
	}
	return nil
}

// event builds the integration event from the row as it is after the step.
func (a *App) event(fact shipping.Fact, row db.Shipment) (events.Event, error) {
	now := a.now()
	switch fact {
	case shipping.ShipmentScheduled:
		return events.ShipmentScheduled{
			OrderID: row.OrderID, ShipmentID: row.ShipmentID, TrackingID: row.TrackingID, Carrier: row.Carrier, OccurredAt: now,
		}, nil
	case shipping.ShipmentFailed:
		return events.ShipmentFailed{OrderID: row.OrderID, Reason: row.Reason, Detail: row.Detail, OccurredAt: now}, nil
	case shipping.ShipmentDispatched:
		return events.ShipmentDispatched{
			OrderID: row.OrderID, ShipmentID: row.ShipmentID, TrackingID: row.TrackingID, DispatchedAt: *row.DispatchedAt, OccurredAt: now,
		}, nil
	case shipping.ShipmentDelivered:
		return events.ShipmentDelivered{OrderID: row.OrderID, ShipmentID: row.ShipmentID, DeliveredAt: *row.DeliveredAt, OccurredAt: now}, nil
	case shipping.ShipmentCancelled:
		return events.ShipmentCancelled{OrderID: row.OrderID, ShipmentID: row.ShipmentID, Reason: row.Reason, OccurredAt: now}, nil
	case shipping.ShipmentCancellationRejected:
		return events.ShipmentCancellationRejected{
			OrderID: row.OrderID, ShipmentID: row.ShipmentID, Reason: strings.ToLower(row.State), OccurredAt: now,
		}, nil
	}
	return nil, errs.New(errs.Internal, "no event for %s", fact)
}
