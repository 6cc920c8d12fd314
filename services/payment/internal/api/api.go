// Package api is the HTTP edge of the payment service. It decodes a request, calls the use case and
// encodes the answer. openapi.yaml defines the valid requests, and httpapi.Validator enforces it
// before a handler runs.
//
// The kind of an error selects its problem document (httpapi.WriteError). Bad input never causes a
// 5xx and never writes anything.
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

// GetPayment handles GET /payments/{orderId}.
func (a *API) GetPayment(w http.ResponseWriter, r *http.Request, id uuid.UUID) {
	row, history, err := a.app.GetPayment(r.Context(), a.reads, id.String())
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, view(id, row, history))
}

// RetryRefund handles POST /payments/{orderId}/refund-retry.
func (a *API) RetryRefund(w http.ResponseWriter, r *http.Request, id uuid.UUID, _ RetryRefundParams) {
	scope := "POST /payments/" + id.String() + "/refund-retry"
	httpapi.Idempotent(w, r, a.writes, scope, func(ctx context.Context, tx pgx.Tx) (httpapi.Answer, error) {
		committed, err := a.app.RetryRefund(ctx, tx, id.String())
		if err != nil {
			return httpapi.Answer{}, err
		}
		row, history, err := a.app.GetPayment(ctx, tx, id.String())
		if err != nil {
			return httpapi.Answer{}, err
		}
		return httpapi.Answer{Status: http.StatusAccepted, Body: view(id, row, history), Committed: committed}, nil
	})
}
