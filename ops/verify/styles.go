package verify

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// StoredStyle is the style of an order's saga in the table of one service. It is part of the order's
// identity: a service stores it when it first learns of the order, and never changes it.
type StoredStyle struct {
	Service, OrderID string
	Style            event.Style // "" in a row of the release before, whose orders are choreographed
}

// storedStyles reads the styles that services store. A table of the release before has no column for it.
// The projection has the style of OrderCreated, and none before that has arrived.
func storedStyles(ctx context.Context, conns map[string]*pgx.Conn) ([]StoredStyle, error) {
	var out []StoredStyle
	for _, t := range []struct{ service, rows string }{
		{"order", "sagas t"}, {"payment", "payments t"}, {"inventory", "reservations t"}, {"shipping", "shipments t"},
		{projector, "orders t WHERE created_at IS NOT NULL"},
	} {
		rows, err := collect(ctx, conns[t.service], `SELECT order_id::text, coalesce(to_jsonb(t)->>'saga_style', '') FROM `+t.rows,
			func(r pgx.CollectableRow) (s StoredStyle, err error) {
				s.Service = t.service
				return s, r.Scan(&s.OrderID, &s.Style)
			})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.service, err)
		}
		out = append(out, rows...)
	}
	return out, nil
}

// styleOf returns the style of a record's saga. Records without one are of before there were two.
func styleOf(rec Record) event.Style {
	if rec.Style == "" {
		return event.Choreographed
	}
	return rec.Style
}

// styles checks that all records of an order have the style of its OrderCreated, and that exactly the
// orchestrated orders have a saga.
func (s *chronicle) styles() {
	other := map[string]bool{}
	for _, rec := range s.Records {
		want, ok := s.style[rec.Key]
		if !ok || !sound(rec) || other[rec.Key] {
			continue
		}
		if got := styleOf(rec); got != want {
			other[rec.Key] = true
			s.finding.breach("order %s: %s %s is %s, and the order is %s", rec.Key, rec.Type, rec.ID, string(got), string(want))
			continue
		}
		if e, ok := rec.Event.(*events.OrderCreated); ok && e.SagaStyle != "" && e.SagaStyle != string(want) {
			other[rec.Key] = true
			s.finding.breach("order %s: OrderCreated %s says %s in its field, and %s in its header", rec.Key, rec.ID, e.SagaStyle, string(want))
		}
	}
	failed := holding(s.Facts, coordinator)
	for _, order := range keys(s.style, nil) {
		if s.style[order] == event.Orchestrated && s.saga[order] == nil && !failed[order] {
			s.finding.breach("order %s is orchestrated and has no saga", order)
		}
	}
	for _, saga := range s.Sagas {
		switch style, ok := s.style[saga.OrderID]; {
		case !ok:
			s.finding.breach("order %s has a saga and no OrderCreated", saga.OrderID)
		case style != event.Orchestrated:
			s.finding.breach("order %s has a saga and is %s", saga.OrderID, string(style))
		}
	}
}

// stored checks that every service that stores the style of an order has the one of its OrderCreated. A
// service that has not heard of the order has no row.
func (s *chronicle) stored() {
	for _, row := range s.Styles {
		want, ok := s.style[row.OrderID]
		switch {
		case !ok || cmp.Or(row.Style, event.Choreographed) == want:
		case row.Style == "":
			s.finding.breach("order %s: %s has no style of it, and the order is %s", row.OrderID, row.Service, string(want))
		default:
			s.finding.breach("order %s: %s has it as %s, and the order is %s", row.OrderID, row.Service, string(row.Style), string(want))
		}
	}
}
