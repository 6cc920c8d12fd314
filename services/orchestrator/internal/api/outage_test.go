package api_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/httpapi/httpapitest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/services/orchestrator"
	"eventshop.example/services/orchestrator/internal/api"
	"eventshop.example/services/orchestrator/internal/app"
)

// TestOutages: while the database is unavailable, every operation answers 503 with Retry-After.
func TestOutages(t *testing.T) {
	t.Parallel()
	spec, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	db := pgtest.NewSeparate(t, orchestrator.Components()...)
	db.Migrate(t)
	handler := func(pool *pgxpool.Pool) http.Handler {
		h, err := api.NewHandler(spec, app.New(app.Config{Pool: pool, Reads: pool}), pool, pool, func() {}, prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	const saga = "/sagas/0198d9a0-0000-7000-8000-000000000000"
	httpapitest.Outages(t, db, handler,
		httpapitest.Request{Method: http.MethodGet, Path: "/sagas"},
		httpapitest.Request{Method: http.MethodGet, Path: "/sagas?attention=true"},
		httpapitest.Request{Method: http.MethodGet, Path: saga},
		httpapitest.Request{Method: http.MethodPost, Path: saga + "/retry"},
		httpapitest.Request{Method: http.MethodPost, Path: saga + "/acknowledge", Body: `{"note":"seen"}`},
		httpapitest.Request{Method: http.MethodGet, Path: "/definitions"},
		httpapitest.Request{Method: http.MethodGet, Path: "/sagas/7", Bad: true},
		httpapitest.Request{Method: http.MethodPost, Path: "/sagas/7/retry", Bad: true},
	)
}
