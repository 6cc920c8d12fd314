// Package api is the HTTP edge of the inventory service. It decodes a request, calls the use case
// and encodes the answer. openapi.yaml defines the valid requests, and httpapi.Validator enforces
// it before a handler runs.
package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/inventory/internal/app"
	"eventshop.example/services/inventory/internal/db"
)

// defaultLimit is the page size that openapi.yaml documents.
const defaultLimit = 100

// API implements the generated ServerInterface.
type API struct {
	app  *app.App
	pool *pgxpool.Pool
}

// ListStock handles GET /stock.
func (a *API) ListStock(w http.ResponseWriter, r *http.Request, params ListStockParams) {
	limit, after := int32(defaultLimit), ""
	if params.Limit != nil {
		limit = *params.Limit
	}
	if params.Cursor != nil {
		after = *params.Cursor
	}
	// One more row than requested shows whether there is a next page.
	rows, err := a.app.ListStock(r.Context(), after, limit+1)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	page := StockPage{Stock: []Stock{}}
	if len(rows) > int(limit) {
		rows = rows[:limit]
		page.NextCursor = &rows[limit-1].Sku
	}
	for _, row := range rows {
		page.Stock = append(page.Stock, stockView(row))
	}
	httpapi.WriteJSON(w, http.StatusOK, page)
}

// GetStock handles GET /stock/{sku}.
func (a *API) GetStock(w http.ResponseWriter, r *http.Request, sku SKU) {
	row, err := a.app.Stock(r.Context(), sku)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, stockView(row))
}

// ReceiveStock handles POST /stock/{sku}/receipts.
func (a *API) ReceiveStock(w http.ResponseWriter, r *http.Request, sku SKU, _ ReceiveStockParams) {
	body, err := httpapi.Decode[ReceiptRequest](r)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	scope := "POST /stock/" + sku + "/receipts"
	httpapi.Idempotent(w, r, a.pool, scope, func(ctx context.Context, tx pgx.Tx) (httpapi.Answer, error) {
		receipt, err := a.app.ReceiveStock(ctx, tx, sku, body.Quantity)
		if err != nil {
			return httpapi.Answer{}, err
		}
		return httpapi.Answer{Status: http.StatusCreated, Body: Receipt{
			ReceiptId: receipt.ID, Quantity: receipt.Quantity, Stock: stockView(receipt.Stock),
		}}, nil
	})
}

// GetReservation handles GET /reservations/{orderId}.
func (a *API) GetReservation(w http.ResponseWriter, r *http.Request, orderID uuid.UUID) {
	res, err := a.app.Reservation(r.Context(), orderID.String())
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, reservationView(orderID, res))
}

func stockView(row db.Stock) Stock {
	return Stock{
		Sku: row.Sku, Available: row.Available, Reserved: row.Reserved, Shipped: row.Shipped,
		Initial: row.Initial, Restocked: row.Restocked,
	}
}

func reservationView(orderID uuid.UUID, res app.View) Reservation {
	v := Reservation{
		OrderId: orderID, ReservationId: res.ID, Status: string(res.State), Saga: string(res.Style),
		Items: []Item{}, Version: res.Version, UpdatedAt: res.UpdatedAt,
	}
	if res.Attention != "" {
		v.Attention = &res.Attention
	}
	for _, it := range res.Items {
		v.Items = append(v.Items, Item{Sku: it.SKU, Quantity: it.Quantity})
	}
	if len(res.Shortages) > 0 {
		v.Shortages = &[]Shortage{}
		for _, m := range res.Shortages {
			*v.Shortages = append(*v.Shortages, Shortage{Sku: m.SKU, Requested: m.Requested, Available: m.Available, Known: m.Known})
		}
	}
	return v
}
