package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/inventory/internal/db"
	"eventshop.example/services/inventory/inventory"
)

// Stock returns the stock of one SKU. The error has kind errs.NotFound when the SKU was never
// stocked.
func (a *App) Stock(ctx context.Context, sku string) (db.Stock, error) {
	row, err := db.New(a.reads).GetStock(ctx, sku)
	if errors.Is(err, pgx.ErrNoRows) {
		return db.Stock{}, errs.New(errs.NotFound, "no stock of %s", sku)
	}
	if err != nil {
		return db.Stock{}, fmt.Errorf("load stock: %w", err)
	}
	return row, nil
}

// ListStock returns up to limit SKUs that sort after the given one.
func (a *App) ListStock(ctx context.Context, after string, limit int32) ([]db.Stock, error) {
	rows, err := db.New(a.reads).ListStock(ctx, db.ListStockParams{After: after, MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("list stock: %w", err)
	}
	return rows, nil
}

// Receipt is a receipt of goods: the pieces of one SKU, and its stock right afterwards.
type Receipt struct {
	ID       uuid.UUID
	Quantity int64
	Stock    db.Stock
}

// ReceiveStock adds received goods to the stock, in the caller's transaction. The error has kind
// Invalid and names the quantity when the SKU would have received more than inventory.MaxPieces in
// total.
func (a *App) ReceiveStock(ctx context.Context, tx pgx.Tx, sku string, quantity int64) (Receipt, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Receipt{}, err
	}
	q := db.New(tx)
	row, err := q.Restock(ctx, db.RestockParams{Sku: sku, Quantity: quantity, Most: inventory.MaxPieces})
	if errors.Is(err, pgx.ErrNoRows) {
		return Receipt{}, errs.Field("quantity", "is too much: a SKU receives at most %d pieces, all told", inventory.MaxPieces)
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("restock %s: %w", sku, err)
	}
	if err := q.AddReceipt(ctx, db.AddReceiptParams{ID: id, Sku: sku, Quantity: quantity, ReceivedAt: a.now()}); err != nil {
		return Receipt{}, fmt.Errorf("store receipt: %w", err)
	}
	return Receipt{ID: id, Quantity: quantity, Stock: row}, nil
}

// Seed stocks SKUs for the first time. It does not change SKUs that were stocked before.
func (a *App) Seed(ctx context.Context, initial map[string]int64) error {
	q := db.New(a.pool)
	for sku, n := range initial {
		if err := q.SeedStock(ctx, db.SeedStockParams{Sku: sku, Quantity: n}); err != nil {
			return fmt.Errorf("seed stock of %s: %w", sku, err)
		}
	}
	return nil
}
