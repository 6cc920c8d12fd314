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
	entries := make([]outbox.Entry, len(facts))
	for i, fact := range facts {
		e, err := eventOf(fact, *row, s.At)
		if err != nil {
			return nil, err
		}
		entries[i] = next(row, s, e)
	}
	return entries, nil
}

// answerTo returns the answer to a command that emitted nothing.
func answerTo(row *db.Shipment, s reaction.Step[Input], answer shipping.Answer) outbox.Entry {
	return next(row, s, events.ShipmentCommandAnswered{
		OrderID: row.OrderID, Command: string(s.Input.Kind), Outcome: string(answer), State: status(*row), OccurredAt: s.At,
	})
}

// next returns the entry of the shipment's next event. It has the style of the order's saga, whatever
// the step came from.
func next(row *db.Shipment, s reaction.Step[Input], e event.Event) outbox.Entry {
	cause := s.Cause
	cause.Style = event.Style(row.SagaStyle)
	if cause.CorrelationID == "" {
		cause.CorrelationID = row.CorrelationID
	}
	row.Version++
	return outbox.Entry{Event: e, AggregateID: row.OrderID, Version: row.Version, Cause: cause}
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
