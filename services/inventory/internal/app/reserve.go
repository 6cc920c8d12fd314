package app

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/internal/db"
	"eventshop.example/services/inventory/internal/inventory"
)

// Reasons of InventoryReservationFailed.
const (
	reasonOutOfStock = "out_of_stock"
	reasonUnknownSKU = "unknown_sku"
)

// lockedItems is what an order asks for, with the stock rows of it locked.
type lockedItems struct {
	items      []inventory.Item
	skus       []string // of the items, as the bulk queries take them
	quantities []int64
	stock      []db.LockStockRow
}

// lockItems loads an order's items and locks their stock rows, in SKU order as every
// move of stock does, until the transaction ends.
func lockItems(ctx context.Context, q *db.Queries, orderID string) (lockedItems, error) {
	items, err := itemsOf(ctx, q, orderID)
	if err != nil {
		return lockedItems{}, err
	}
	l := lockedItems{items: items}
	l.skus, l.quantities = columns(items)
	if l.stock, err = q.LockStock(ctx, l.skus); err != nil {
		return lockedItems{}, fmt.Errorf("lock stock: %w", err)
	}
	return l, nil
}

// reserve holds all items of the order, or none and says what is missing. The
// stock rows stay locked until the transaction ends, so what was counted is what
// is taken.
func (a *App) reserve(ctx context.Context, tx pgx.Tx, q *db.Queries, row *db.Reservation, s step) error {
	held, err := lockItems(ctx, q, row.OrderID)
	if err != nil {
		return err
	}
	available := map[string]int64{}
	for _, l := range held.stock {
		available[l.Sku] = l.Available
	}
	if short := inventory.Allocate(available, held.items); len(short) > 0 {
		return a.reject(ctx, tx, row, s, short)
	}
	n, err := q.ReserveStock(ctx, db.ReserveStockParams{Skus: held.skus, Quantities: held.quantities})
	if err := moved(n, err, held.items, "reserve"); err != nil {
		return err
	}
	return a.append(ctx, tx, row, s.cause, events.InventoryReserved{
		OrderID:       row.OrderID,
		ReservationID: row.ReservationID.String(),
		Items:         reservedItems(held.items),
		OccurredAt:    a.now(),
	})
}

func (a *App) reject(ctx context.Context, tx pgx.Tx, row *db.Reservation, s step, short []inventory.Shortage) error {
	stored, err := json.Marshal(short)
	if err != nil {
		return err
	}
	row.State, row.Shortages = string(inventory.Rejected), stored
	e := events.InventoryReservationFailed{OrderID: row.OrderID, Reason: reasonOutOfStock, OccurredAt: a.now()}
	for _, m := range short {
		if !m.Known {
			e.Reason = reasonUnknownSKU
		}
		// The event has 32 bits for what was asked for; the reservation's row has it all.
		requested := int32(min(max(m.Requested, math.MinInt32), math.MaxInt32))
		e.Shortages = append(e.Shortages, events.Shortage{SKU: m.SKU, Requested: requested, Available: m.Available})
	}
	return a.append(ctx, tx, row, s.cause, e)
}

// release puts back what a shipment that will not happen had held.
func (a *App) release(ctx context.Context, tx pgx.Tx, q *db.Queries, row *db.Reservation, s step) error {
	held, err := lockItems(ctx, q, row.OrderID)
	if err != nil {
		return err
	}
	n, err := q.ReleaseStock(ctx, db.ReleaseStockParams{Skus: held.skus, Quantities: held.quantities})
	if err := moved(n, err, held.items, "release"); err != nil {
		return err
	}
	return a.append(ctx, tx, row, s.cause, events.InventoryReleased{
		OrderID:       row.OrderID,
		ReservationID: row.ReservationID.String(),
		Items:         reservedItems(held.items),
		Reason:        s.reason,
		OccurredAt:    a.now(),
	})
}

// ship books the parcel's content out. Nobody waits for it, so no event tells.
func (a *App) ship(ctx context.Context, q *db.Queries, row db.Reservation) error {
	held, err := lockItems(ctx, q, row.OrderID)
	if err != nil {
		return err
	}
	n, err := q.ShipStock(ctx, db.ShipStockParams{Skus: held.skus, Quantities: held.quantities})
	return moved(n, err, held.items, "ship")
}

// reservedItems is what an event says is held: Allocate lets nothing through that does not
// fit its 32 bits.
func reservedItems(items []inventory.Item) []events.ReservedItem {
	out := make([]events.ReservedItem, len(items))
	for i, it := range items {
		out[i] = events.ReservedItem{SKU: it.SKU, Quantity: int32(it.Quantity)}
	}
	return out
}
