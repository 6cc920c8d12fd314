package app

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/inventory/internal/db"
	"eventshop.example/services/inventory/inventory"
)

// reservations is a set of reservations and the stock rows that their steps can move.
type reservations struct {
	loaded  map[string]Reservation // without stock
	changed map[string]bool
	stock   map[string]counts // by SKU, for all orders
	had     map[string]counts // as loaded
	locked  map[string]bool   // orders whose stock was loaded
}

// load locks the reservation rows in the order of order ids. Then it locks the stock rows that the
// steps can move, in SKU order. Every other move of stock uses the same lock order.
func load(ctx context.Context, tx pgx.Tx, steps []reaction.Step[Input]) (reaction.Set[Reservation], error) {
	q := db.New(tx)
	keys := reaction.Keys(steps)
	open, styles := db.OpenReservationsParams{OrderIds: keys, UpdatedAt: steps[0].At}, firstStyles(steps)
	for _, key := range keys {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("draw reservation id: %w", err)
		}
		open.ReservationIds, open.SagaStyles = append(open.ReservationIds, id), append(open.SagaStyles, string(styles[key]))
	}
	if err := later(tx, "open reservations").OpenReservations(ctx, open); err != nil {
		return nil, err
	}
	rows, err := q.LockReservations(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("lock reservations: %w", err)
	}
	items, err := q.ListItemsOf(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("load items: %w", err)
	}
	set := &reservations{loaded: map[string]Reservation{}, changed: map[string]bool{}, stock: map[string]counts{}, locked: map[string]bool{}}
	for _, row := range rows {
		set.loaded[row.OrderID] = Reservation{row: row}
	}
	for _, it := range items {
		r := set.loaded[it.OrderID]
		r.items = append(r.items, inventory.Item{SKU: it.Sku, Quantity: it.Quantity})
		set.loaded[it.OrderID] = r
	}
	skus := set.moving(steps)
	if len(skus) > 0 {
		stock, err := q.LockStock(ctx, skus)
		if err != nil {
			return nil, fmt.Errorf("lock stock: %w", err)
		}
		for _, row := range stock {
			set.stock[row.Sku] = counts{row.Available, row.Reserved, row.Shipped}
		}
	}
	set.had = maps.Clone(set.stock)
	return set, nil
}

// moving returns the SKUs of the orders whose steps can move stock, and marks these orders as
// locked. It follows the transition table, so a step without effect locks no stock. A step that
// contradicts the style of its order has none.
func (r *reservations) moving(steps []reaction.Step[Input]) []string {
	skus := map[string]bool{}
	states := map[string]inventory.State{}
	wanted := map[string][]inventory.Item{}
	for key, one := range r.loaded {
		states[key], wanted[key] = inventory.State(one.row.State), one.items
	}
	for _, s := range steps {
		if contradicts(r.loaded[s.Key].row, s.Cause) {
			continue
		}
		d := inventory.Decide(states[s.Key], s.Input.Kind)
		states[s.Key] = d.Next
		if len(wanted[s.Key]) == 0 {
			wanted[s.Key] = s.Input.Items
		}
		if d.Effect == inventory.NoEffect {
			continue
		}
		r.locked[s.Key] = true
		for _, it := range wanted[s.Key] {
			skus[it.SKU] = true
		}
	}
	return slices.Sorted(maps.Keys(skus))
}

// Get implements [reaction.Set]. The stock is that of the whole set, so an order sees what earlier
// orders in the set have taken.
func (r *reservations) Get(key string) Reservation {
	one := r.loaded[key]
	if one.locked = r.locked[key]; one.locked {
		one.stock = r.stock
	}
	return one
}

// Put implements [reaction.Set].
func (r *reservations) Put(key string, one Reservation) {
	maps.Copy(r.stock, one.moved)
	one.moved = nil
	r.loaded[key], r.changed[key] = one, true
}

// Save implements [reaction.Set].
func (r *reservations) Save(ctx context.Context, tx pgx.Tx) error {
	if len(r.changed) == 0 {
		return nil
	}
	var rows db.SaveReservationsParams
	var items db.AddItemsParams
	for _, key := range slices.Sorted(maps.Keys(r.changed)) {
		one := r.loaded[key]
		rows.OrderIds, rows.States = append(rows.OrderIds, key), append(rows.States, one.row.State)
		rows.Versions, rows.Shortages = append(rows.Versions, one.row.Version), append(rows.Shortages, string(one.row.Shortages))
		rows.Attentions, rows.UpdatedAt = append(rows.Attentions, one.row.Attention), append(rows.UpdatedAt, one.row.UpdatedAt)
		if !one.fresh {
			continue
		}
		for _, it := range one.items {
			items.OrderIds, items.Skus = append(items.OrderIds, key), append(items.Skus, it.SKU)
			items.Quantities = append(items.Quantities, it.Quantity)
		}
	}
	if len(items.OrderIds) > 0 {
		if err := later(tx, "store items").AddItems(ctx, items); err != nil {
			return err
		}
	}
	if err := r.saveStock(ctx, tx); err != nil {
		return err
	}
	return later(tx, "store reservations").SaveReservations(ctx, rows)
}

// later returns the queries whose results are not read. Their errors say what was attempted.
func later(tx pgx.Tx, what string) *db.Queries {
	return db.New(postgres.Later(tx, func(err error) error { return fmt.Errorf("%s: %w", what, err) }))
}

// saveStock adds the differences to the stored counts, so that it never overwrites another change
// of a row.
func (r *reservations) saveStock(ctx context.Context, tx pgx.Tx) error {
	var moves db.MoveStockParams
	for _, sku := range slices.Sorted(maps.Keys(r.stock)) {
		now, had := r.stock[sku], r.had[sku]
		if now == had {
			continue
		}
		moves.Skus, moves.Available = append(moves.Skus, sku), append(moves.Available, now.available-had.available)
		moves.Reserved, moves.Shipped = append(moves.Reserved, now.reserved-had.reserved), append(moves.Shipped, now.shipped-had.shipped)
	}
	if len(moves.Skus) == 0 {
		return nil
	}
	return later(tx, "move stock").MoveStock(ctx, moves)
}
