package api_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/httpapi/httpapitest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/services/inventory"
	"eventshop.example/services/inventory/internal/api"
	"eventshop.example/services/inventory/internal/app"
)

// TestOutages: while the database is unavailable, every operation answers 503 with Retry-After.
func TestOutages(t *testing.T) {
	t.Parallel()
	spec, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	db := pgtest.NewSeparate(t, inventory.Components()...)
	db.Migrate(t)
	handler := func(pool *pgxpool.Pool) http.Handler {
		h, err := api.NewHandler(spec, app.New(app.Config{Pool: pool, Reads: pool}), pool, prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	httpapitest.Outages(t, db, handler,
		httpapitest.Request{Method: http.MethodGet, Path: "/stock"},
		httpapitest.Request{Method: http.MethodGet, Path: "/stock/WIDGET-01"},
		httpapitest.Request{Method: http.MethodGet, Path: "/reservations/0198d9a0-0000-7000-8000-000000000000"},
		httpapitest.Request{Method: http.MethodPost, Path: "/stock/WIDGET-01/receipts", Body: `{"quantity":1}`},
		httpapitest.Request{Method: http.MethodGet, Path: "/reservations/7", Bad: true},
		httpapitest.Request{Method: http.MethodPost, Path: "/stock/WIDGET-01/receipts", Body: `{"quantity":"one"}`, Bad: true},
	)
}
