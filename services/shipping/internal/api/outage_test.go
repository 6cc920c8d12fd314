package api_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/httpapi/httpapitest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/services/shipping"
	"eventshop.example/services/shipping/internal/api"
	"eventshop.example/services/shipping/internal/app"
)

// TestOutages: while the database is unavailable, every operation answers 503 with Retry-After.
func TestOutages(t *testing.T) {
	t.Parallel()
	spec, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	db := pgtest.NewSeparate(t, shipping.Components()...)
	db.Migrate(t)
	handler := func(pool *pgxpool.Pool) http.Handler {
		h, err := api.NewHandler(spec, app.New(app.Config{Pool: pool, Reads: pool}), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	httpapitest.Outages(t, db, handler,
		httpapitest.Request{Method: http.MethodGet, Path: "/shipments/0198d9a0-0000-7000-8000-000000000000"},
		httpapitest.Request{Method: http.MethodGet, Path: "/shipments/7", Bad: true},
	)
}
