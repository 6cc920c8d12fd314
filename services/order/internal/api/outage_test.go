package api_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/httpapi/httpapitest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/order"
	"eventshop.example/services/order/internal/api"
	"eventshop.example/services/order/internal/app"
)

// TestOutages: while the database is unavailable, every operation answers 503 with Retry-After.
func TestOutages(t *testing.T) {
	t.Parallel()
	spec, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	db := pgtest.NewSeparate(t, order.Components()...)
	db.Migrate(t)
	codec := schematest.Start(t).Codec(events.Catalogue())
	out := outbox.New(outbox.Config{Source: "/eventshop/order", Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode})
	handler := func(pool *pgxpool.Pool) http.Handler {
		h, err := api.NewHandler(spec, app.New(app.Config{Pool: pool, Reads: pool, Outbox: out}), pool, out.Wake, prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	anyVersion := map[string]string{"If-Match": "*"}
	httpapitest.Outages(t, db, handler,
		httpapitest.Request{Method: http.MethodPost, Path: "/orders", Body: cart},
		httpapitest.Request{Method: http.MethodGet, Path: "/orders/0198d9a0-0000-7000-8000-000000000000"},
		httpapitest.Request{Method: http.MethodGet, Path: "/orders/0198d9a0-0000-7000-8000-000000000000?version=1"},
		httpapitest.Request{Method: http.MethodGet, Path: "/orders/0198d9a0-0000-7000-8000-000000000000/events"},
		httpapitest.Request{Method: http.MethodGet, Path: "/orders/0198d9a0-0000-7000-8000-000000000000?asOf=2026-01-02T03:04:05Z"},
		httpapitest.Request{Method: http.MethodGet, Path: "/orders/0198d9a0-0000-7000-8000-000000000000/diff?from=1&to=2"},
		httpapitest.Request{Method: http.MethodPost, Path: "/orders/0198d9a0-0000-7000-8000-000000000000/cancel"},
		httpapitest.Request{Method: http.MethodGet, Path: "/sagas"},
		httpapitest.Request{Method: http.MethodGet, Path: "/sagas/style"},
		httpapitest.Request{Method: http.MethodPut, Path: "/sagas/style", Body: `{"orchestratedPercent":0}`},
		httpapitest.Request{Method: http.MethodPut, Path: "/sagas/style", Body: `{"orchestratedPercent":101}`, Bad: true},
		httpapitest.Request{Method: http.MethodPost, Path: "/orders", Body: draft},
		httpapitest.Request{Method: http.MethodGet, Path: "/orders?draft=true"},
		httpapitest.Request{Method: http.MethodPost, Path: "/orders/0198d9a0-0000-7000-8000-000000000000/items", Body: widget, Header: anyVersion},
		httpapitest.Request{Method: http.MethodPut, Path: "/orders/0198d9a0-0000-7000-8000-000000000000/items/A", Body: `{"quantity":1,"unitPrice":1}`, Header: anyVersion},
		httpapitest.Request{Method: http.MethodDelete, Path: "/orders/0198d9a0-0000-7000-8000-000000000000/items/A", Header: anyVersion},
		httpapitest.Request{Method: http.MethodPut, Path: "/orders/0198d9a0-0000-7000-8000-000000000000/address", Body: babbage, Header: anyVersion},
		httpapitest.Request{Method: http.MethodPost, Path: "/orders/0198d9a0-0000-7000-8000-000000000000/place", Header: anyVersion},
		httpapitest.Request{Method: http.MethodDelete, Path: "/orders/0198d9a0-0000-7000-8000-000000000000", Header: anyVersion},
		httpapitest.Request{Method: http.MethodPost, Path: "/orders/0198d9a0-0000-7000-8000-000000000000/place", Bad: true},
		httpapitest.Request{Method: http.MethodPost, Path: "/orders", Body: `{"items":[]}`, Bad: true},
		httpapitest.Request{Method: http.MethodGet, Path: "/orders/7", Bad: true},
		httpapitest.Request{Method: http.MethodGet, Path: "/orders/0198d9a0-0000-7000-8000-000000000000?version=1&asOf=2026-01-02T03:04:05Z", Bad: true},
		httpapitest.Request{Method: http.MethodGet, Path: "/sagas?limit=0", Bad: true},
	)
}
