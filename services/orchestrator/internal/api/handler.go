package api

import (
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/orchestrator/internal/app"
)

var _ ServerInterface = (*API)(nil)

// NewHandler returns the routes of openapi.yaml (spec) behind its validation. The handler calls wake
// after each request that may have left rows in the outbox.
func NewHandler(spec []byte, a *app.App, reads, writes *pgxpool.Pool, wake func(), reg prometheus.Registerer) (http.Handler, error) {
	doc, err := httpapi.LoadSpec(spec)
	if err != nil {
		return nil, err
	}
	router, err := httpapi.NewRouter(doc, reg, httpapi.WithSubject("orderId"))
	if err != nil {
		return nil, err
	}
	return HandlerWithOptions(&API{app: a, reads: reads, writes: writes, wake: wake}, ChiServerOptions{
		BaseRouter: router, ErrorHandlerFunc: httpapi.BadParameter,
	}), nil
}
