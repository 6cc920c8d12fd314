package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
	kit "eventshop.example/pkg/projection"
	"eventshop.example/services/projection"
	"eventshop.example/services/projection/internal/activity"
	"eventshop.example/services/projection/internal/api"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/fresh"
	"eventshop.example/services/projection/internal/history"
	"eventshop.example/services/projection/internal/readmodeltest"
	"eventshop.example/services/projection/internal/revenue2"
)

// served applies events to a version and returns its API.
func served(t *testing.T, v kit.Version[app.Fact], given ...readmodeltest.Given) (get func(path string, status int) map[string]any) {
	t.Helper()
	t.Parallel()
	s := readmodeltest.New(t, v, projection.Components())
	if err := postgres.InTx(t.Context(), s.Pool, func(tx pgx.Tx) error { return s.Apply(t.Context(), tx, given...) }); err != nil {
		t.Fatal(err)
	}
	spec, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	waiting := fresh.New(fresh.Config{Versions: s.App.Versions})
	h, err := api.NewHandler(spec, s.App, waiting, fresh.NewLag(fresh.LagConfig{}), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return func(path string, status int) map[string]any {
		t.Helper()
		res := httptest.NewRecorder()
		h.ServeHTTP(res, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		var v map[string]any
		if err := json.Unmarshal(res.Body.Bytes(), &v); err != nil || res.Code != status {
			t.Fatalf("GET %s: %d %s, want %d", path, res.Code, res.Body, status)
		}
		return v
	}
}

func twoOrders() (older, newer string, given []readmodeltest.Given) {
	older, newer = uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
	for _, id := range []string{older, newer} {
		given = append(given, readmodeltest.Event(app.OnOrderCreated, 1,
			readmodeltest.Created(id, "ada", events.OrderItem{SKU: "A", Quantity: 2, UnitPrice: 1250})))
	}
	return older, newer, append(given, readmodeltest.Event(app.OnPaymentCompleted, 1,
		events.PaymentCompleted{OrderID: newer, Amount: 2500, Currency: "GBP", OccurredAt: readmodeltest.Noon()}))
}

func TestCustomerHistory(t *testing.T) {
	older, newer, given := twoOrders()
	get := served(t, history.Version(), given...)
	entry := func(id string) any {
		return map[string]any{
			"orderId": id, "status": "PENDING", "totalAmount": 25.0, "currency": "GBP", "pieces": 2.0,
			"placedAt": "2026-11-24T12:00:00Z", "since": "2026-11-24T12:00:00Z",
		}
	}
	page := get("/customers/ada/history?limit=1", 200)
	next, _ := page["nextCursor"].(string)
	if diff := cmp.Diff([]any{entry(newer)}, page["orders"]); diff != "" || next == "" {
		t.Errorf("first page, then %q (-want +got):\n%s", next, diff)
	}
	get("/customers/bob/history?cursor="+next, http.StatusBadRequest)  // of another customer
	get("/customers/ada/activity?cursor="+next, http.StatusBadRequest) // of another list
	get("/customers/ada/history?cursor="+newer, http.StatusBadRequest)
	if diff := cmp.Diff(map[string]any{"orders": []any{entry(older)}}, get("/customers/ada/history?cursor="+next, 200)); diff != "" {
		t.Errorf("second page (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"orders": []any{}}, get("/customers/bob/history", 200)); diff != "" {
		t.Errorf("of a customer without orders (-want +got):\n%s", diff)
	}
	get("/customers/ada/activity", http.StatusServiceUnavailable) // this site does not have it
}

func TestCustomerActivityPages(t *testing.T) {
	_, newer, given := twoOrders()
	get := served(t, activity.Version(), given...)
	page := get("/customers/ada/activity?limit=2", 200)
	entries := page["entries"].([]any)
	first := entries[0].(map[string]any)
	if len(entries) != 2 || first["type"] != "PaymentCompleted" || first["service"] != "payment" || first["orderId"] != newer {
		t.Errorf("first page %v", page)
	}
	rest := get("/customers/ada/activity?cursor="+page["nextCursor"].(string), 200)
	if n := len(rest["entries"].([]any)); n != 1 || rest["nextCursor"] != nil {
		t.Errorf("second page %v", rest)
	}
}

func TestRevenueItems(t *testing.T) {
	_, _, given := twoOrders()
	get := served(t, revenue2.Version(), given...)
	const days = "?from=2026-11-01&to=2026-11-30"
	want := map[string]any{"from": "2026-11-01", "to": "2026-11-30", "items": []any{map[string]any{
		"day": "2026-11-24", "currency": "GBP", "region": "GB", "sku": "A", "captured": 25.0, "refunded": 0.0, "net": 25.0, "payments": 1.0, "refunds": 0.0,
	}}}
	if diff := cmp.Diff(want, get("/revenue/items"+days+"&sku=A&region=GB", 200)); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	if v := get("/revenue/items"+days+"&region=DE", 200); len(v["items"].([]any)) != 0 {
		t.Errorf("another region: %v", v)
	}
	get("/revenue/items?from=2026-11-30&to=2026-11-01", 400)
	// The columns of version 1, from the tables of version 2.
	if day := get("/revenue"+days, 200)["days"].([]any); len(day) != 1 || day[0].(map[string]any)["captured"] != 25.0 {
		t.Errorf("revenue %v", day)
	}
}

// TestRevenueItemsNeedVersion2: version 1, which is live without it, has no SKUs.
func TestRevenueItemsNeedVersion2(t *testing.T) {
	get := served(t, history.Version())
	get("/revenue", 200)
	get("/revenue/items", http.StatusConflict)
}
