package app

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/db"
	"eventshop.example/services/shipping/shipping"
)

// contradicts reports whether a record contradicts the style in which the order's saga is coordinated.
// style is the record's, and said is the style that its data name. Either is empty when there is none:
// an update of the tracking feed has no style. Where there is no row yet, the record's style is the
// order's.
func contradicts(row db.Shipment, style, said event.Style) bool {
	return event.Style(row.SagaStyle).Contradicts(style, said)
}

// contradict asks for a person, because two coordinators act on one order. It changes nothing else: no
// parcel is booked or cancelled, and no answer is published. The same contradiction is stored once.
func (a *App) contradict(row db.Shipment, s reaction.Step[Input]) reaction.Decision[db.Shipment] {
	by := event.Style(row.SagaStyle).Contradiction(s.Cause.Style, s.Input.Style)
	found := fmt.Sprintf("the style of the saga is contradicted: %s says %s, and the order's saga is %s", s.Input.Kind, by, row.SagaStyle)
	if outcome := s.Input.Answer.Outcome; outcome != "" {
		// Another process created the row between the call and this transaction.
		found += fmt.Sprintf("; the carrier had answered: %s", outcome)
	}
	out := reaction.Decision[db.Shipment]{State: row, Committed: func(ctx context.Context) {
		a.metrics.decided(s.Input.Kind, shipping.Refuse)
		a.log.WarnContext(ctx, "shipment needs a person", "status", status(row), "attention", found)
	}}
	if !strings.Contains(row.Attention, found) {
		out.Changed = true
		out.State.Attention = strings.TrimPrefix(row.Attention+"; "+found, "; ")
		out.State.UpdatedAt = s.At
	}
	return out
}

// schedule books a parcel. The first that shipping learns of an orchestrated order may be the command to
// book it. Then the row is created before the call, with the style of its saga: when the parcel leaves
// before the answer is recorded, the tracking feed is the next to reach the order, and has no style.
func (a *App) schedule(ctx context.Context, row db.Shipment, cause outbox.Cause, r carrier.Request) (carrier.Answer, error) {
	if row.OrderID == "" {
		q := db.New(a.pool)
		first := db.OpenShipmentsParams{
			OrderIds: []string{r.OrderID}, CorrelationIds: []string{cmp.Or(cause.CorrelationID, r.OrderID)},
			SagaStyles: []string{string(cause.Style)}, Now: a.now(),
		}
		if err := q.OpenShipments(ctx, first); err != nil {
			return carrier.Answer{}, postgres.Classify(fmt.Errorf("open shipment: %w", err))
		}
		opened, err := q.GetShipment(ctx, r.OrderID)
		if err != nil {
			return carrier.Answer{}, postgres.Classify(fmt.Errorf("load opened shipment: %w", err))
		}
		if contradicts(opened, cause.Style, "") {
			return carrier.Answer{}, nil // another process was faster; the transaction asks for a person
		}
	}
	return a.carrier.Schedule(ctx, Key(r.OrderID), r)
}

// status returns the name of the row's state for people.
func status(row db.Shipment) string { return cmp.Or(row.State, "NONE") }
