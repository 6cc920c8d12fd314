package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// What is read of the services' own tables.

func orders(ctx context.Context, c *pgx.Conn) ([]Order, error) {
	type stored struct {
		stream string
		DomainEvent
	}
	rows, err := collect(ctx, c, `SELECT stream_id, version, event_type, data FROM events ORDER BY stream_id, version`,
		func(r pgx.CollectableRow) (s stored, err error) {
			var data []byte
			if err = r.Scan(&s.stream, &s.Version, &s.Type, &data); err == nil {
				d := json.NewDecoder(bytes.NewReader(data))
				d.UseNumber() // amounts have more digits than a float
				err = d.Decode(&s.Data)
			}
			return s, err
		})
	if err != nil {
		return nil, err
	}
	var out []Order
	at := map[string]int{}
	for _, r := range rows {
		i, ok := at[r.stream]
		if !ok {
			i = len(out)
			at[r.stream] = i
			out = append(out, Order{ID: orderID(r.stream)})
		}
		out[i].Events = append(out[i].Events, r.DomainEvent)
	}
	type snap struct {
		stream string
		Snapshot
	}
	// Processes of the release before write the table snapshots.
	snaps, err := collect(ctx, c, `SELECT stream_id, version, state->>'status' FROM stream_snapshots
		UNION ALL SELECT stream_id, version, state->'order'->>'status' FROM snapshots ORDER BY 1, 2`,
		func(r pgx.CollectableRow) (s snap, err error) {
			var status *string
			err = r.Scan(&s.stream, &s.Version, &status)
			if status != nil {
				s.Status = *status
			}
			return s, err
		})
	if err != nil {
		return nil, err
	}
	for _, s := range snaps {
		if i, ok := at[s.stream]; ok {
			out[i].Snapshots = append(out[i].Snapshots, s.Snapshot)
		} else {
			out = append(out, Order{ID: orderID(s.stream), Snapshots: []Snapshot{s.Snapshot}})
		}
	}
	return out, nil
}

// orderID returns the id in a stream's name, which may have a category prefix ("order-<uuid>").
func orderID(stream string) string {
	if len(stream) > 36 {
		return stream[len(stream)-36:]
	}
	return stream
}

func storedAnswers(ctx context.Context, c *pgx.Conn) ([]Answer, error) {
	return collect(ctx, c, `SELECT caller || ' ' || scope, key, status, body FROM idempotency_keys WHERE scope = 'POST /orders'`,
		func(r pgx.CollectableRow) (a Answer, err error) {
			var body []byte
			if err = r.Scan(&a.Scope, &a.Key, &a.Status, &body); err != nil {
				return a, err
			}
			var order struct {
				OrderID string `json:"orderId"`
			}
			if a.Status/100 == 2 {
				err = json.Unmarshal(body, &order)
			}
			a.OrderID = order.OrderID
			return a, err
		})
}

func payments(ctx context.Context, c *pgx.Conn) ([]Payment, error) {
	return collect(ctx, c, `SELECT order_id::text, state FROM payments`,
		func(r pgx.CollectableRow) (p Payment, err error) { return p, r.Scan(&p.OrderID, &p.State) })
}

func stockRows(ctx context.Context, c *pgx.Conn) ([]Stock, error) {
	return collect(ctx, c, `SELECT s.sku, initial, restocked, available, reserved, shipped,
		coalesce((SELECT sum(quantity) FROM receipts r WHERE r.sku = s.sku), 0)::text FROM stock s ORDER BY s.sku`,
		func(r pgx.CollectableRow) (s Stock, err error) {
			var receipts string
			err = r.Scan(&s.SKU, &s.Initial, &s.Restocked, &s.Available, &s.Reserved, &s.Shipped, &receipts)
			return s, errors.Join(err, s.Receipts.read(receipts))
		})
}

func reservations(ctx context.Context, c *pgx.Conn) ([]Reservation, error) {
	return collect(ctx, c, `SELECT r.order_id, r.state,
		coalesce((SELECT jsonb_object_agg(sku, quantity) FROM reservation_items i WHERE i.order_id = r.order_id), '{}')
		FROM reservations r`,
		func(r pgx.CollectableRow) (v Reservation, err error) {
			var items []byte
			if err = r.Scan(&v.OrderID, &v.State, &items); err == nil {
				err = json.Unmarshal(items, &v.Items)
			}
			return v, err
		})
}

func readModels(ctx context.Context, c *pgx.Conn) (Projection, error) {
	p := Projection{
		Orders:   map[string]ProjectedOrder{},
		Timeline: map[string]map[uuid.UUID]string{},
		Revenue:  map[string]Revenue{},
	}
	_, err := collect(ctx, c, `SELECT order_id, status, customer_id, currency, total_amount, tracking_id, cancel_reason,
		needs_attention, updated_at, (SELECT count(*) FROM order_items i WHERE i.order_id = o.order_id)
		FROM orders o WHERE created_at IS NOT NULL`,
		func(r pgx.CollectableRow) (struct{}, error) {
			var id string
			var o ProjectedOrder
			err := r.Scan(&id, &o.Status, &o.CustomerID, &o.Currency, &o.TotalAmount, &o.TrackingID, &o.CancelReason,
				&o.NeedsAttention, &o.UpdatedAt, &o.Items)
			p.Orders[id] = o
			return struct{}{}, err
		})
	if err != nil {
		return p, err
	}
	_, err = collect(ctx, c, `SELECT order_id, event_id, event_type FROM timeline`,
		func(r pgx.CollectableRow) (struct{}, error) {
			var id, typ string
			var event uuid.UUID
			err := r.Scan(&id, &event, &typ)
			if p.Timeline[id] == nil {
				p.Timeline[id] = map[uuid.UUID]string{}
			}
			p.Timeline[id][event] = typ
			return struct{}{}, err
		})
	if err != nil {
		return p, err
	}
	if p.Versions, err = readVersions(ctx, c); err != nil {
		return p, err
	}
	days, err := liveRevenue(ctx, c)
	if err != nil {
		return p, err
	}
	_, err = collect(ctx, c, `SELECT day, currency, captured::text, refunded::text, payments, refunds FROM `+days,
		func(r pgx.CollectableRow) (struct{}, error) {
			var day time.Time
			var currency, captured, refunded string
			var v Revenue
			err := r.Scan(&day, &currency, &captured, &refunded, &v.Payments, &v.Refunds)
			err = errors.Join(err, v.Captured.read(captured), v.Refunded.read(refunded))
			p.Revenue[dayKey(day, currency)] = v
			return struct{}{}, err
		})
	return p, err
}

// liveRevenue returns the table or view with the days of the revenue that queries read. Every version of
// the revenue has these columns. The release before has one version.
func liveRevenue(ctx context.Context, c *pgx.Conn) (string, error) {
	var versions bool
	if err := c.QueryRow(ctx, `SELECT to_regclass('projection_versions') IS NOT NULL`).Scan(&versions); err != nil || !versions {
		return "revenue_days", err
	}
	var version int
	err := c.QueryRow(ctx, `SELECT coalesce(max(version), 1) FROM projection_versions WHERE projection = 'revenue' AND state = 'live'`).Scan(&version)
	if err != nil || version == 1 {
		return "revenue_days", err
	}
	return fmt.Sprintf("revenue_v%d.revenue_days", version), nil
}
