package api

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/notification/internal/app"
)

var _ ServerInterface = (*API)(nil)

// NewHandler returns the routes of openapi.yaml (spec) behind its validation.
func NewHandler(spec []byte, a *app.App, reg prometheus.Registerer) (http.Handler, error) {
	doc, err := httpapi.LoadSpec(spec)
	if err != nil {
		return nil, err
	}
	router, err := httpapi.NewRouter(doc, reg, httpapi.WithSubject("orderId"))
	if err != nil {
		return nil, err
	}
	return HandlerWithOptions(&API{app: a}, ChiServerOptions{
		BaseRouter: router, ErrorHandlerFunc: httpapi.BadParameter,
	}), nil
}
