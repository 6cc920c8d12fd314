package app

import (
	"context"
	"encoding/json"
	"fmt"

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

// reserve holds all items of the order, or none and says what is missing. The
// stock rows stay locked until the transaction ends, so what was counted is what
// is taken.
func (a *App) reserve(ctx context.Context, tx pgx.Tx, q *db.Queries, row *db.Reservation, s step) error {
	items, err := itemsOf(ctx, q, row.OrderID)
	if err != nil {
		return err
	}
	skus, quantities := columns(items)
	locked, err := q.LockStock(ctx, skus)
	if err != nil {
		return fmt.Errorf("lock stock: %w", err)
	}
	available := map[string]int64{}
	for _, l := range locked {
		available[l.Sku] = l.Available
	}
	if short := inventory.Allocate(available, items); len(short) > 0 {
		return a.reject(ctx, tx, row, s, short)
	}
	n, err := q.ReserveStock(ctx, db.ReserveStockParams{Skus: skus, Quantities: quantities})
	if err := moved(n, err, items, "reserve"); err != nil {
		return err
	}
	return a.append(ctx, tx, row, s.cause, events.InventoryReserved{
		OrderID:       row.OrderID,
		ReservationID: row.ReservationID.String(),
		Items:         reservedItems(items),
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
		e.Shortages = append(e.Shortages, events.Shortage{SKU: m.SKU, Requested: int32(m.Requested), Available: m.Available})
	}
	return a.append(ctx, tx, row, s.cause, e)
}

// release puts back what a shipment that will not happen had held.
func (a *App) release(ctx context.Context, tx pgx.Tx, q *db.Queries, row *db.Reservation, s step) error {
	items, err := itemsOf(ctx, q, row.OrderID)
	if err != nil {
		return err
	}
	skus, quantities := columns(items)
	if _, err := q.LockStock(ctx, skus); err != nil {
		return fmt.Errorf("lock stock: %w", err)
	}
	n, err := q.ReleaseStock(ctx, db.ReleaseStockParams{Skus: skus, Quantities: quantities})
	if err := moved(n, err, items, "release"); err != nil {
		return err
	}
	return a.append(ctx, tx, row, s.cause, events.InventoryReleased{
		OrderID:       row.OrderID,
		ReservationID: row.ReservationID.String(),
		Items:         reservedItems(items),
		Reason:        s.reason,
		OccurredAt:    a.now(),
	})
}

// ship books the parcel's content out. Nobody waits for it, so no event tells.
func (a *App) ship(ctx context.Context, q *db.Queries, row db.Reservation) error {
	items, err := itemsOf(ctx, q, row.OrderID)
	if err != nil {
		return err
	}
	skus, quantities := columns(items)
	if _, err := q.LockStock(ctx, skus); err != nil {
		return fmt.Errorf("lock stock: %w", err)
	}
	n, err := q.ShipStock(ctx, db.ShipStockParams{Skus: skus, Quantities: quantities})
	return moved(n, err, items, "ship")
}

func reservedItems(items []inventory.Item) []events.ReservedItem {
	out := make([]events.ReservedItem, len(items))
	for i, it := range items {
		out[i] = events.ReservedItem{SKU: it.SKU, Quantity: int32(it.Quantity)}
	}
	return out
}
