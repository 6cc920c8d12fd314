// Package api is the order service's HTTP edge: it decodes a request, calls the use
// case, and encodes the answer. What a request may look like is in openapi.yaml,
// which httpapi.Validator enforces before a handler runs; the handlers convert
// amounts, which a schema cannot check, and nothing else.
//
// Errors become problem details by their kind (httpapi.WriteError): bad input is
// never a 5xx and writes nothing.
package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/internal/order"
)

// defaultLimit is how many sagas are on a page, as openapi.yaml promises.
const defaultLimit = 50

// API implements the generated ServerInterface.
type API struct {
	app  *app.App
	pool *pgxpool.Pool
	wake func() // after a commit that may have left rows in the outbox
}

// PlaceOrder answers POST /orders.
func (a *API) PlaceOrder(w http.ResponseWriter, r *http.Request, _ PlaceOrderParams) {
	body, err := httpapi.Decode[PlaceOrder](r)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	cmd, err := command(body)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.Idempotent(w, r, a.pool, "POST /orders", func(ctx context.Context, tx pgx.Tx) (int, any, error) {
		o, err := a.app.PlaceOrder(ctx, tx, cmd)
		if err != nil {
			return 0, nil, err
		}
		w.Header().Set("Location", "/orders/"+o.ID)
		return http.StatusCreated, view(o), nil
	})
	a.wake()
}

// CancelOrder answers POST /orders/{orderId}/cancel.
func (a *API) CancelOrder(w http.ResponseWriter, r *http.Request, id uuid.UUID, _ CancelOrderParams) {
	why := ""
	if r.ContentLength != 0 {
		body, err := httpapi.Decode[CancelOrder](r)
		if err != nil {
			httpapi.WriteError(w, r, err)
			return
		}
		if body.Reason != nil {
			why = *body.Reason
		}
	}
	httpapi.Idempotent(w, r, a.pool, "POST /orders/"+id.String()+"/cancel", func(ctx context.Context, tx pgx.Tx) (int, any, error) {
		o, err := a.app.CancelOrder(ctx, tx, id.String(), why)
		if err != nil {
			return 0, nil, err
		}
		status := http.StatusAccepted // shipping decides; the answer is in the order, later
		if o.Status == order.Cancelled {
			status = http.StatusOK
		}
		return status, view(o), nil
	})
	a.wake()
}

// GetOrder answers GET /orders/{orderId}.
func (a *API) GetOrder(w http.ResponseWriter, r *http.Request, id uuid.UUID, params GetOrderParams) {
	var o order.Order
	var err error
	if params.Version == nil {
		o, err = a.app.GetOrder(r.Context(), id.String())
	} else {
		o, err = a.app.GetOrderAt(r.Context(), id.String(), *params.Version)
	}
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, view(o))
}

// GetOrderEvents answers GET /orders/{orderId}/events.
func (a *API) GetOrderEvents(w http.ResponseWriter, r *http.Request, id uuid.UUID) {
	recorded, err := a.app.GetOrderEvents(r.Context(), id.String())
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	history, err := historyOf(id, recorded)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, history)
}

// ListSagas answers GET /sagas.
func (a *API) ListSagas(w http.ResponseWriter, r *http.Request, p ListSagasParams) {
	f := app.SagaFilter{PlacedBefore: p.PlacedBefore, Limit: defaultLimit}
	if p.NeedsAttention != nil {
		f.NeedsAttention = *p.NeedsAttention
	}
	if p.Cursor != nil {
		f.After = *p.Cursor
	}
	if p.Limit != nil {
		f.Limit = *p.Limit
	}
	limit := int(f.Limit)
	f.Limit++ // one more than asked for tells whether there is a next page
	rows, err := a.app.Sagas(r.Context(), f)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, sagaPage(rows, limit))
}

// command converts what was sent; the error names the amount at fault.
func command(body PlaceOrder) (app.PlaceOrder, error) {
	cmd := app.PlaceOrder{
		Customer:        order.Customer{ID: body.Customer.Id, Name: body.Customer.Name, Email: body.Customer.Email},
		ShippingAddress: address(body.ShippingAddress),
		Currency:        body.Currency,
	}
	if body.ConfirmWithinSeconds != nil {
		cmd.ConfirmWithin = time.Duration(*body.ConfirmWithinSeconds) * time.Second
	}
	amounts := newAmounts(body.Currency)
	cmd.TotalAmount = amounts.parse("totalAmount", body.TotalAmount)
	for i, item := range body.Items {
		cmd.Items = append(cmd.Items, order.Item{
			SKU:       item.Sku,
			Quantity:  item.Quantity,
			UnitPrice: amounts.parse(itemField(i, "unitPrice"), item.UnitPrice),
		})
	}
	return cmd, amounts.err()
}

func address(a Address) order.Address {
	out := order.Address{Street: a.Street, City: a.City, PostalCode: a.PostalCode}
	if a.Country != nil {
		out.Country = *a.Country
	}
	return out
}
