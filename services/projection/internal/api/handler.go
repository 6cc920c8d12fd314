package api

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/fresh"
)

var _ ServerInterface = (*API)(nil)

// NewHandler returns the routes of openapi.yaml (spec) behind its validation. Reads for a version
// wait in waiting, and every answer of an operation has the lag.
func NewHandler(spec []byte, a *app.App, waiting *fresh.Waiting, lag *fresh.Lag, reg prometheus.Registerer) (http.Handler, error) {
	doc, err := httpapi.LoadSpec(spec)
	if err != nil {
		return nil, err
	}
	router, err := httpapi.NewRouter(doc, reg, httpapi.WithSubject("orderId"))
	if err != nil {
		return nil, err
	}
	return HandlerWithOptions(&API{app: a, waiting: waiting}, ChiServerOptions{
		BaseRouter: router, ErrorHandlerFunc: httpapi.BadParameter, Middlewares: []MiddlewareFunc{withLag(lag)},
	}), nil
}
