package service

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// Routes puts the operators' paths (see [Operations]) and a service's API on one handler, and so on
// one port.
func Routes(h *Health, reg *prometheus.Registry, api http.Handler) http.Handler {
	operations := Operations(h, reg)
	mux := http.NewServeMux()
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		mux.Handle(path, operations)
	}
	mux.Handle("/", api)
	return mux
}
