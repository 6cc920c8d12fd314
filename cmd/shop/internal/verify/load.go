package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Sources says where the facts are. DSN has one Postgres URL for each of order,
// payment, inventory, shipping and projection.
type Sources struct {
	DSN         map[string]string
	Brokers     []string
	RegistryURL string
	GatewayURL  string
}

// Load reads all facts. It waits, at most settle, until the system is at rest:
// no order under way, no outbox row unpublished, no event unread by its groups.
func Load(ctx context.Context, src Sources, settle time.Duration) (Facts, error) {
	conns := map[string]*pgx.Conn{}
	for service, dsn := range src.DSN {
		c, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return Facts{}, fmt.Errorf("connect to %s's database: %w", service, err)
		}
		defer c.Close(context.WithoutCancel(ctx))
		conns[service] = c
	}
	if err := rest(ctx, src, conns, settle); err != nil {
		return Facts{}, err
	}
	var f Facts
	for _, step := range []struct {
		what string
		load func() error
	}{
		{"order streams", func() (err error) { f.Orders, err = orders(ctx, conns["order"]); return }},
		{"stored answers", func() (err error) { f.Answers, err = storedAnswers(ctx, conns["order"]); return }},
		{"payments", func() (err error) { f.Payments, err = payments(ctx, conns["payment"]); return }},
		{"stock", func() (err error) { f.Stock, err = stockRows(ctx, conns["inventory"]); return }},
		{"reservations", func() (err error) { f.Reservations, err = reservations(ctx, conns["inventory"]); return }},
		{"outboxes", func() (err error) { f.Outbox, err = outboxes(ctx, conns); return }},
		{"inboxes", func() (err error) { f.Inbox, err = inboxes(ctx, conns); return }},
		{"topics", func() (err error) { f.Records, err = readTopics(ctx, src); return }},
		{"read models", func() (err error) { f.Projection, err = readModels(ctx, conns["projection"]); return }},
		{"gateway's ledger", func() (err error) { f.Ledger, err = ledger(ctx, src.GatewayURL); return }},
	} {
		if err := step.load(); err != nil {
			return Facts{}, fmt.Errorf("read %s: %w", step.what, err)
		}
	}
	f.Rebuilt = Rebuild(f.Records)
	return f, nil
}

// collect runs a query and scans every row.
func collect[T any](ctx context.Context, c *pgx.Conn, sql string, scan func(pgx.CollectableRow) (T, error)) ([]T, error) {
	rows, err := c.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}

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
	snaps, err := collect(ctx, c, `SELECT stream_id, version, state->'order'->>'status' FROM snapshots`,
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
			out[i].Snapshot = &s.Snapshot
		} else {
			out = append(out, Order{ID: orderID(s.stream), Snapshot: &s.Snapshot})
		}
	}
	return out, nil
}

// orderID is the id in a stream's name, which may carry a category before it
// ("order-<uuid>").
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
		coalesce((SELECT sum(quantity) FROM receipts r WHERE r.sku = s.sku), 0)::bigint FROM stock s ORDER BY s.sku`,
		func(r pgx.CollectableRow) (s Stock, err error) {
			return s, r.Scan(&s.SKU, &s.Initial, &s.Restocked, &s.Available, &s.Reserved, &s.Shipped, &s.Receipts)
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

func outboxes(ctx context.Context, conns map[string]*pgx.Conn) ([]OutboxRow, error) {
	var out []OutboxRow
	for service, c := range conns {
		rows, err := collect(ctx, c, `SELECT id, topic, event_type, aggregate_id, coalesce(ce_causationid, ''), published_at IS NOT NULL FROM outbox`,
			func(r pgx.CollectableRow) (o OutboxRow, err error) {
				o.Service = service
				return o, r.Scan(&o.ID, &o.Topic, &o.Type, &o.AggregateID, &o.CausationID, &o.Published)
			})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", service, err)
		}
		out = append(out, rows...)
	}
	return out, nil
}

func inboxes(ctx context.Context, conns map[string]*pgx.Conn) ([]InboxRow, error) {
	var out []InboxRow
	for service, c := range conns {
		rows, err := collect(ctx, c, `SELECT consumer_group, message_id FROM inbox`,
			func(r pgx.CollectableRow) (o InboxRow, err error) {
				o.Service = service
				return o, r.Scan(&o.Group, &o.ID)
			})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", service, err)
		}
		out = append(out, rows...)
	}
	return out, nil
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
	_, err = collect(ctx, c, `SELECT day, currency, captured, refunded, payments, refunds FROM revenue_days`,
		func(r pgx.CollectableRow) (struct{}, error) {
			var day time.Time
			var currency string
			var v Revenue
			err := r.Scan(&day, &currency, &v.Captured, &v.Refunded, &v.Payments, &v.Refunds)
			p.Revenue[dayKey(day, currency)] = v
			return struct{}{}, err
		})
	return p, err
}

// ledger reads the gateway's own books, page by page.
func ledger(ctx context.Context, gateway string) ([]LedgerEntry, error) {
	var out []LedgerEntry
	for after := int64(0); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, gateway+"/v1/ledger?after="+strconv.FormatInt(after, 10), nil)
		if err != nil {
			return nil, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return nil, err
		}
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s: %s", res.Status, body)
		}
		var page struct {
			Entries []struct {
				Seq                     int64
				OrderID, Kind, Currency string
				Amount                  int64
			}
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, err
		}
		if len(page.Entries) == 0 {
			return out, nil
		}
		for _, e := range page.Entries {
			out = append(out, LedgerEntry{OrderID: e.OrderID, Kind: e.Kind, Currency: e.Currency, Amount: e.Amount})
			after = e.Seq
		}
	}
}
