package app

import (
	"strings"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/shipping/internal/db"
	"eventshop.example/services/shipping/shipping"
)

// emit returns the facts as outbox entries in order. Each fact gets the shipment's next version.
func emit(row *db.Shipment, s reaction.Step[Input], facts []shipping.Fact) ([]outbox.Entry, error) {
	cause := s.Cause
	if cause.CorrelationID == "" {
		cause.CorrelationID = row.CorrelationID
	}
	entries := make([]outbox.Entry, len(facts))
	for i, fact := range facts {
		e, err := eventOf(fact, *row, s.At)
		if err != nil {
			return nil, err
		}
		row.Version++
		entries[i] = outbox.Entry{Event: e, AggregateID: row.OrderID, Version: row.Version, Cause: cause}
	}
	return entries, nil
}

// eventOf builds the integration event from the row after the step.
func eventOf(fact shipping.Fact, row db.Shipment, now time.Time) (event.Event, error) {
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
