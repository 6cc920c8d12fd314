// Package api is the HTTP edge of the orchestrator. It decodes a request, calls the use case and encodes
// the answer. openapi.yaml defines the valid requests, and httpapi.Validator enforces it before a handler
// runs.
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
	"eventshop.example/services/orchestrator/internal/app"
)

// defaultLimit is the page size that openapi.yaml documents.
const defaultLimit = 50

// API implements the generated ServerInterface.
type API struct {
	app           *app.App
	reads, writes *pgxpool.Pool
	wake          func() // after a commit that may have left rows in the outbox
}

// ListSagas handles GET /sagas.
func (a *API) ListSagas(w http.ResponseWriter, r *http.Request, p ListSagasParams) {
	f := app.SagaFilter{Limit: defaultLimit}
	if p.State != nil {
		f.State = *p.State
	}
	if p.Attention != nil {
		f.Attention = *p.Attention
	}
	if p.After != nil {
		f.After = *p.After
	}
	if p.Limit != nil {
		f.Limit = *p.Limit
	}
	limit := int(f.Limit)
	f.Limit++ // one more row than requested shows whether there is a next page
	rows, err := a.app.ListSagas(r.Context(), f)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	page := SagaPage{Sagas: []Saga{}}
	more := len(rows) > limit
	for _, row := range rows[:min(limit, len(rows))] {
		page.Sagas = append(page.Sagas, view(row))
		if more {
			page.NextCursor = &row.OrderID
		}
	}
	httpapi.WriteJSON(w, http.StatusOK, page)
}

// GetSaga handles GET /sagas/{orderId}.
func (a *API) GetSaga(w http.ResponseWriter, r *http.Request, id uuid.UUID) {
	row, log, err := a.app.GetSaga(r.Context(), a.reads, id.String())
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, whole(row, log))
}

// RetrySaga handles POST /sagas/{orderId}/retry.
func (a *API) RetrySaga(w http.ResponseWriter, r *http.Request, id uuid.UUID, _ RetrySagaParams) {
	scope := "POST /sagas/" + id.String() + "/retry"
	httpapi.Idempotent(w, r, a.writes, scope, func(ctx context.Context, tx pgx.Tx) (httpapi.Answer, error) {
		committed, err := a.app.RetrySaga(ctx, tx, id.String())
		if err != nil {
			return httpapi.Answer{}, err
		}
		row, log, err := a.app.GetSaga(ctx, tx, id.String())
		if err != nil {
			return httpapi.Answer{}, err
		}
		return httpapi.Answer{Status: http.StatusAccepted, Body: whole(row, log), Committed: committed}, nil
	})
	a.wake()
}

// AcknowledgeSaga handles POST /sagas/{orderId}/acknowledge.
func (a *API) AcknowledgeSaga(w http.ResponseWriter, r *http.Request, id uuid.UUID, p AcknowledgeSagaParams) {
	scope := "POST /sagas/" + id.String() + "/acknowledge"
	httpapi.Idempotent(w, r, a.writes, scope, func(ctx context.Context, tx pgx.Tx) (httpapi.Answer, error) {
		in, err := httpapi.Decode[Acknowledgement](r)
		if err != nil {
			return httpapi.Answer{}, err
		}
		by := ""
		if p.XCallerId != nil {
			by = *p.XCallerId
		}
		lines := int32(0)
		if in.Lines != nil {
			lines = *in.Lines
		}
		committed, err := a.app.AcknowledgeSaga(ctx, tx, id.String(), by, in.Note, lines)
		if err != nil {
			return httpapi.Answer{}, err
		}
		row, log, err := a.app.GetSaga(ctx, tx, id.String())
		if err != nil {
			return httpapi.Answer{}, err
		}
		return httpapi.Answer{Status: http.StatusOK, Body: whole(row, log), Committed: committed}, nil
	})
}

// ListDefinitions handles GET /definitions.
func (a *API) ListDefinitions(w http.ResponseWriter, r *http.Request) {
	uses, err := a.app.ListDefinitions(r.Context())
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	all := Definitions{Definitions: []Definition{}}
	for _, use := range uses {
		all.Definitions = append(all.Definitions, Definition{
			Version: use.Version, Steps: append([]string{}, use.Steps...), Newest: use.Newest, Begins: use.Begins,
			Running: use.Running, Ended: use.Ended, Drained: use.Drained(),
		})
	}
	httpapi.WriteJSON(w, http.StatusOK, all)
}
