package api_test

import (
	"context"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/httpapi/httpapitest"
	"eventshop.example/pkg/pgtest"
	kit "eventshop.example/pkg/projection"
	"eventshop.example/pkg/retry"
	"eventshop.example/services/projection"
	"eventshop.example/services/projection/internal/activity"
	"eventshop.example/services/projection/internal/api"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/fresh"
	"eventshop.example/services/projection/internal/history"
	"eventshop.example/services/projection/internal/revenue2"
)

// TestOutages: while the database is unavailable, every operation answers 503 with Retry-After.
func TestOutages(t *testing.T) {
	t.Parallel()
	spec, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	db := pgtest.NewSeparate(t, projection.Components()...)
	db.Migrate(t)
	_, err = db.App(t).Exec(t.Context(), `INSERT INTO projection_versions (projection, version, state, attached) VALUES
		('customer_orders', 1, 'live', true), ('customer_activity', 1, 'live', true), ('revenue', 2, 'live', true)`)
	if err != nil {
		t.Fatal(err)
	}
	handler := func(pool *pgxpool.Pool) http.Handler {
		models, err := app.Assemble(pool, kit.Config[app.Fact]{Versions: []kit.Version[app.Fact]{history.Version(), activity.Version(), revenue2.Version()}})
		if err != nil {
			t.Fatal(err)
		}
		failed := retry.New("projection", nil)
		waiting := fresh.New(fresh.Config{Versions: models.Versions, Parked: func(ctx context.Context, ids []string) (map[string]bool, error) {
			_, err := failed.Parked(ctx, pool, false, []retry.Key{{Topic: "order.events", Key: ids[0]}})
			return nil, err
		}, Wait: time.Millisecond})
		h, err := api.NewHandler(spec, models, waiting, fresh.NewLag(fresh.LagConfig{}), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	httpapitest.Outages(t, db, handler,
		httpapitest.Request{Method: http.MethodGet, Path: "/orders"},
		httpapitest.Request{Method: http.MethodGet, Path: "/orders?status=PENDING&customerId=c&limit=1"},
		httpapitest.Request{Method: http.MethodGet, Path: "/orders/0198d9a0-0000-7000-8000-000000000000"},
		httpapitest.Request{Method: http.MethodGet, Path: "/customers/c/orders"},
		httpapitest.Request{Method: http.MethodGet, Path: "/orders/0198d9a0-0000-7000-8000-000000000000?minVersion=1&stale=allow"},
		httpapitest.Request{Method: http.MethodGet, Path: "/orders?minVersion=0198d9a0-0000-7000-8000-000000000000:1&stale=allow"},
		httpapitest.Request{Method: http.MethodGet, Path: "/customers/c/history"},
		httpapitest.Request{Method: http.MethodGet, Path: "/customers/c/activity?limit=1"},
		httpapitest.Request{Method: http.MethodGet, Path: "/revenue"},
		httpapitest.Request{Method: http.MethodGet, Path: "/revenue/items?sku=A&region=GB"},
		httpapitest.Request{Method: http.MethodGet, Path: "/orders/7", Bad: true},
		httpapitest.Request{Method: http.MethodGet, Path: "/revenue?from=yesterday", Bad: true},
	)
}
