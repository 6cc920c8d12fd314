package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/shipping/internal/db"
)

// shipments is a set of shipment rows.
type shipments struct {
	rows    map[string]db.Shipment
	changed map[string]bool
}

// load locks the rows of the steps' orders. A new row takes the style of the saga and the correlation
// id of the first step about its order that has them. It is choreographed when no step has a style:
// that is an update of the tracking feed, and an orchestrated order has a row before its parcel is
// booked.
func load(ctx context.Context, tx pgx.Tx, steps []reaction.Step[Input]) (reaction.Set[db.Shipment], error) {
	q := db.New(tx)
	first := map[string]outbox.Cause{}
	for _, s := range steps {
		known := first[s.Key]
		first[s.Key] = outbox.Cause{
			Style:         cmp.Or(known.Style, s.Cause.Style),
			CorrelationID: cmp.Or(known.CorrelationID, s.Cause.CorrelationID),
		}
	}
	open := db.OpenShipmentsParams{OrderIds: reaction.Keys(steps), Now: steps[0].At}
	for _, key := range open.OrderIds {
		open.CorrelationIds = append(open.CorrelationIds, cmp.Or(first[key].CorrelationID, key))
		open.SagaStyles = append(open.SagaStyles, string(cmp.Or(first[key].Style, event.Choreographed)))
	}
	if err := later(tx, "open shipments").OpenShipments(ctx, open); err != nil {
		return nil, err
	}
	rows, err := q.LockShipments(ctx, open.OrderIds)
	if err != nil {
		return nil, fmt.Errorf("lock shipments: %w", err)
	}
	return &shipments{rows: byOrder(rows), changed: map[string]bool{}}, nil
}

// look returns the existing rows in their current state.
func look(ctx context.Context, q postgres.Querier, orderIDs []string) (map[string]db.Shipment, error) {
	rows, err := db.New(q).GetShipments(ctx, orderIDs)
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("load shipments: %w", err))
	}
	return byOrder(rows), nil
}

func byOrder(rows []db.Shipment) map[string]db.Shipment {
	out := make(map[string]db.Shipment, len(rows))
	for _, row := range rows {
		out[row.OrderID] = row
	}
	return out
}

// Get implements [reaction.Set].
func (s *shipments) Get(key string) db.Shipment { return s.rows[key] }

// Put implements [reaction.Set].
func (s *shipments) Put(key string, row db.Shipment) { s.rows[key], s.changed[key] = row, true }

// Save implements [reaction.Set].
func (s *shipments) Save(ctx context.Context, tx pgx.Tx) error {
	if len(s.changed) == 0 {
		return nil
	}
	var p db.SaveShipmentsParams
	for _, key := range slices.Sorted(maps.Keys(s.changed)) {
		row := s.rows[key]
		requests, err := json.Marshal(row.RejectedRequests)
		if err != nil {
			return fmt.Errorf("encode rejected requests: %w", err)
		}
		p.OrderIds, p.States, p.Versions = append(p.OrderIds, key), append(p.States, row.State), append(p.Versions, row.Version)
		p.CustomerIds = append(p.CustomerIds, row.CustomerID)
		p.Addresses, p.Items = append(p.Addresses, string(row.Address)), append(p.Items, string(row.Items))
		p.ShipmentIds, p.TrackingIds = append(p.ShipmentIds, row.ShipmentID), append(p.TrackingIds, row.TrackingID)
		p.Carriers = append(p.Carriers, row.Carrier)
		p.Reasons, p.Details = append(p.Reasons, row.Reason), append(p.Details, row.Detail)
		p.DispatchedAt, p.DeliveredAt = append(p.DispatchedAt, instant(row.DispatchedAt)), append(p.DeliveredAt, instant(row.DeliveredAt))
		p.Traceparents, p.Tracestates = append(p.Traceparents, row.Traceparent), append(p.Tracestates, row.Tracestate)
		p.RejectedRequests, p.Attentions = append(p.RejectedRequests, string(requests)), append(p.Attentions, row.Attention)
		p.UpdatedAt = append(p.UpdatedAt, row.UpdatedAt)
	}
	return later(tx, "store shipments").SaveShipments(ctx, p)
}

// later returns the queries whose results are not read. Their errors say what was attempted.
func later(tx pgx.Tx, what string) *db.Queries {
	return db.New(postgres.Later(tx, func(err error) error { return fmt.Errorf("%s: %w", what, err) }))
}

// instant returns the zero time for nil. The statement stores the zero time as NULL.
func instant(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return *at
}
