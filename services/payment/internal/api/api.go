// Package api is the payment service's HTTP edge: it decodes a request, calls the use
// case, and encodes the answer. What a request may look like is in openapi.yaml, which
// httpapi's router enforces before a handler runs.
//
// Errors become problem details by their kind (httpapi.WriteError): bad input is never a
// 5xx and writes nothing.
package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/payment/internal/app"
)

// API implements the generated ServerInterface.
type API struct {
	app           *app.App
	reads, writes *pgxpool.Pool
}

// GetPayment answers GET /payments/{orderId}.
func (a *API) GetPayment(w http.ResponseWriter, r *http.Request, id uuid.UUID) {
	row, history, err := a.app.GetPayment(r.Context(), a.reads, id.String())
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, view(id, row, history))
}

// RetryRefund answers POST /payments/{orderId}/refund-retry.
func (a *API) RetryRefund(w http.ResponseWriter, r *http.Request, id uuid.UUID, _ RetryRefundParams) {
	scope := "POST /payments/" + id.String() + "/refund-retry"
	httpapi.Idempotent(w, r, a.writes, scope, func(ctx context.Context, tx pgx.Tx) (int, any, error) {
		if _, err := a.app.RetryRefund(ctx, tx, id.String()); err != nil {
			return 0, nil, err
		}
		row, history, err := a.app.GetPayment(ctx, tx, id.String())
		if err != nil {
			return 0, nil, err
		}
		return http.StatusAccepted, view(id, row, history), nil
	})
}
