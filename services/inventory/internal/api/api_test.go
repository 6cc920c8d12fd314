package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/inventory/internal/api"
	"eventshop.example/services/inventory/internal/app"
)

// TestReceiptsHaveACap: a receipt that does not fit gets a 422 with the field, never a 5xx. The
// contract limits one receipt, and the stock limits their total.
func TestReceiptsHaveACap(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, outbox.Component(), httpapi.IdempotencyComponent(),
		postgres.Component{Name: "inventory", FS: os.DirFS("../../migrations")})
	a := app.New(app.Config{Pool: pool})
	for sku, n := range map[string]int64{"NEARLY": 999_999_999_999_999, "FULL": 1_000_000_000_000_000, "BEFORE": 9223372036854775807} {
		if err := a.Seed(t.Context(), map[string]int64{sku: n}); err != nil {
			t.Fatal(err)
		}
	}
	spec, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	handler, err := api.NewHandler(spec, a, pool, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		sku, quantity string
		status        int
	}{
		{"NEARLY", "2", 422}, {"NEARLY", "1", 201}, {"NEARLY", "1", 422}, {"FULL", "1", 422}, {"BEFORE", "1", 422},
		{"NEW", "1000000000", 201}, {"NEW", "1000000001", 422}, {"NEW", "9223372036854775807", 422},
		{"NEW", "9223372036854775808", 422}, {"NEW", "-1", 422}, {"NEW", "0", 422},
	} {
		res := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/stock/"+tt.sku+"/receipts", strings.NewReader(`{"quantity":`+tt.quantity+`}`))
		req.Header.Set("Content-Type", "application/json")
		handler.ServeHTTP(res, req)
		var problem struct{ Errors []struct{ Field string } }
		if err := json.Unmarshal(res.Body.Bytes(), &problem); err != nil {
			t.Fatal(err)
		}
		if res.Code != tt.status || tt.status == 422 && (len(problem.Errors) != 1 || problem.Errors[0].Field != "quantity") {
			t.Errorf("%s of %s: %d %s, want %d", tt.quantity, tt.sku, res.Code, res.Body, tt.status)
		}
	}
	res := httptest.NewRecorder()
	handler.ServeHTTP(res, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/stock/BEFORE", nil))
	if !strings.Contains(res.Body.String(), `"available":9223372036854775807`) {
		t.Errorf("BEFORE shows as %d %s", res.Code, res.Body)
	}
}
