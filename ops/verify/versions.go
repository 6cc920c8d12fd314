package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/events"
)

// Versions is the versions of read models that have a Postgres schema of their own, in a comparable form. A
// nil map is one that the reader does not feed: it is filled, or was dropped, or the service is of a release
// without it.
type Versions struct {
	History  map[string]string               // order → its row in the customer's history
	Activity map[string]map[uuid.UUID]string // order → event id → type and customer
	Items    map[string]Revenue              // day, currency, region and SKU → sums
}

// further is what a rebuild needs for the versions besides the rows of the first release.
type further struct {
	created map[string]*events.OrderCreated // the first of each order
	moved   []moved
}

// moved is one capture or refund.
type moved struct {
	order, day, currency string
	amount               int64
	payment              bool
}

// note collects what the versions need of an event that counts.
func (f *further) note(order string, event any) {
	switch e := event.(type) {
	case *events.OrderCreated:
		if f.created[order] == nil {
			f.created[order] = e
		}
	case *events.PaymentCompleted:
		f.moved = append(f.moved, moved{order, e.OccurredAt.UTC().Format(time.DateOnly), e.Currency, e.Amount, true})
	case *events.PaymentRefunded:
		f.moved = append(f.moved, moved{order, e.OccurredAt.UTC().Format(time.DateOnly), e.Currency, e.Amount, false})
	}
}

// versions rebuilds the versions. latest has the version of each order's status.
func (f *further) versions(p Projection, latest map[string]version) Versions {
	v := Versions{History: map[string]string{}, Activity: map[string]map[uuid.UUID]string{}, Items: map[string]Revenue{}}
	for id, at := range latest {
		if at.status > 0 {
			v.History[id] = f.history(id, p.Orders[id].Status, at.status)
		}
	}
	for id, entries := range p.Timeline {
		v.Activity[id] = map[uuid.UUID]string{}
		for event, typ := range entries {
			v.Activity[id][event] = activity(typ, f.customer(id))
		}
	}
	for _, m := range f.moved {
		f.share(v.Items, m)
	}
	return v
}

func (f *further) customer(id string) string {
	if e := f.created[id]; e != nil {
		return e.Customer.ID
	}
	return ""
}

func (f *further) history(id, status string, at int64) string {
	currency, amount, pieces := "", int64(0), int64(0)
	if e := f.created[id]; e != nil {
		currency, amount = e.Currency, e.TotalAmount
		for _, i := range e.Items {
			pieces += int64(i.Quantity)
		}
	}
	return historyRow(f.customer(id), currency, amount, pieces, status, at)
}

func historyRow(customer, currency string, amount, pieces int64, status string, at int64) string {
	return fmt.Sprintf("%q %q %d %d %q %d", customer, currency, amount, pieces, status, at)
}

func activity(typ, customer string) string { return fmt.Sprintf("%q %q", typ, customer) }

// share adds a capture or refund to the SKUs of its order, each by its part of the order's total. The parts
// add up to the amount: a SKU has what lies between the running totals before and after it, rounded down.
func (f *further) share(items map[string]Revenue, m moved) {
	add := func(region, sku string, amount int64) {
		k := itemKey(m.day, m.currency, region, sku)
		r := items[k]
		if m.payment {
			r.Captured, r.Payments = r.Captured.plus(total(amount)), r.Payments+1
		} else {
			r.Refunded, r.Refunds = r.Refunded.plus(total(amount)), r.Refunds+1
		}
		items[k] = r
	}
	order := f.created[m.order]
	if order == nil {
		add("", "", m.amount)
		return
	}
	parts, all := map[string]*big.Int{}, new(big.Int)
	for _, i := range order.Items {
		part := new(big.Int).Mul(big.NewInt(int64(i.Quantity)), big.NewInt(i.UnitPrice))
		all.Add(all, part)
		if parts[i.SKU] == nil {
			parts[i.SKU] = new(big.Int)
		}
		parts[i.SKU].Add(parts[i.SKU], part)
	}
	if len(parts) == 0 {
		parts[""] = new(big.Int)
	}
	running, before := new(big.Int), int64(0)
	for n, sku := range slices.Sorted(maps.Keys(parts)) {
		running.Add(running, parts[sku])
		upTo := before
		switch {
		case all.Sign() > 0:
			upTo = new(big.Int).Div(new(big.Int).Mul(big.NewInt(m.amount), running), all).Int64()
		case n == 0:
			upTo = m.amount
		}
		add(order.ShippingAddress.Country, sku, upTo-before)
		before = upTo
	}
}

func itemKey(day, currency, region, sku string) string {
	return fmt.Sprintf("%s %q %q %q", day, currency, region, sku)
}

// compare adds a breach per row of a version that differs from the rebuild, and returns how many rows were compared.
func (r *Finding) compare(live, want Versions) (rows int) {
	if live.History != nil {
		for _, id := range keys(live.History, want.History) {
			l, lok := live.History[id]
			w, wok := want.History[id]
			if lok != wok || l != w {
				r.breach("order %s: history of the customer %s, rebuilt %s", id, l, w)
			}
		}
		rows += len(live.History)
	}
	if live.Activity != nil {
		for _, id := range keys(live.Activity, want.Activity) {
			if !maps.Equal(live.Activity[id], want.Activity[id]) {
				r.breach("order %s: activity of the customer has %d events, rebuilt %d, or other ones", id, len(live.Activity[id]), len(want.Activity[id]))
			}
			rows += len(live.Activity[id])
		}
	}
	if live.Items != nil {
		for _, k := range keys(live.Items, want.Items) {
			l, lok := live.Items[k]
			w, wok := want.Items[k]
			if lok != wok || !l.Equal(w) {
				r.breach("revenue of %s: version 2 %s, rebuilt %s", k, l, w)
			}
		}
		rows += len(live.Items)
	}
	return rows
}

// readVersions reads the versions that the reader feeds.
func readVersions(ctx context.Context, c *pgx.Conn) (v Versions, err error) {
	var known bool
	if err := c.QueryRow(ctx, `SELECT to_regclass('projection_versions') IS NOT NULL`).Scan(&known); err != nil || !known {
		return v, err
	}
	fed, err := collect(ctx, c, `SELECT projection || ' ' || version FROM projection_versions WHERE attached`, pgx.RowTo[string])
	if err != nil {
		return v, err
	}
	if slices.Contains(fed, "customer_orders 1") {
		v.History = map[string]string{}
		_, err = collect(ctx, c, `SELECT order_id, coalesce(customer_id, ''), currency, total_amount, pieces, status, status_version
			FROM customer_orders_v1.customer_orders`, func(row pgx.CollectableRow) (struct{}, error) {
			var id, customer, currency, status string
			var amount, pieces, at int64
			err := row.Scan(&id, &customer, &currency, &amount, &pieces, &status, &at)
			v.History[id] = historyRow(customer, currency, amount, pieces, status, at)
			return struct{}{}, err
		})
	}
	if err == nil && slices.Contains(fed, "customer_activity 1") {
		v.Activity = map[string]map[uuid.UUID]string{}
		_, err = collect(ctx, c, `SELECT order_id, event_id, event_type, coalesce(customer_id, '') FROM customer_activity_v1.customer_activity`,
			func(row pgx.CollectableRow) (struct{}, error) {
				var id, typ, customer string
				var event uuid.UUID
				err := row.Scan(&id, &event, &typ, &customer)
				if v.Activity[id] == nil {
					v.Activity[id] = map[uuid.UUID]string{}
				}
				v.Activity[id][event] = activity(typ, customer)
				return struct{}{}, err
			})
	}
	if err == nil && slices.Contains(fed, "revenue 2") {
		v.Items = map[string]Revenue{}
		_, err = collect(ctx, c, `SELECT day, currency, region, sku, captured::text, refunded::text, payments, refunds
			FROM revenue_v2.revenue_items WHERE payments <> 0 OR refunds <> 0`, func(row pgx.CollectableRow) (struct{}, error) {
			var day time.Time
			var currency, region, sku, captured, refunded string
			var r Revenue
			err := row.Scan(&day, &currency, &region, &sku, &captured, &refunded, &r.Payments, &r.Refunds)
			err = errors.Join(err, r.Captured.read(captured), r.Refunded.read(refunded))
			v.Items[itemKey(day.Format(time.DateOnly), currency, region, sku)] = r
			return struct{}{}, err
		})
	}
	return v, err
}
