package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"eventshop.example/pkg/httpapi"
)

// TestProblems: an invalid request gets a problem with the invalid parameter, never a 5xx.
func TestProblems(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		path   string
		status int
		field  string // "" when no parameter is invalid
	}{
		{"/orders/" + uuid.NewString(), 404, ""},
		{"/nowhere", 404, ""},
		{"/orders/not-a-uuid", 400, "orderId"},
		{"/orders?status=LOST", 400, "status"},
		{"/orders?status=pending", 400, "status"},
		{"/orders?limit=0", 400, "limit"},
		{"/orders?limit=201", 400, "limit"},
		{"/orders?limit=99999999999999999999", 400, "limit"},
		{"/orders?limit=ten", 400, "limit"},
		{"/orders?limit=1.5", 400, "limit"},
		{"/orders?limit=1&limit=2", 400, "limit"},
		{"/orders?cursor=7", 400, "cursor"},
		{"/orders?customerId=", 400, "customerId"},
		{"/orders?customerId=" + strings.Repeat("x", 65), 400, "customerId"},
		{"/orders?customerId=%00", 400, "customerId"},
		{"/orders?customerId=%ff", 400, "customerId"},
		{"/orders?sort=asc", 400, "sort"},
		{"/customers/" + strings.Repeat("x", 65) + "/orders", 400, "customerId"},
		{"/customers/c/orders?cursor=x", 400, "cursor"},
		{"/customers/c/orders?status=PENDING", 400, "status"}, // the path has no such filter
		{"/revenue?from=yesterday", 400, "from"},
		{"/revenue?to=2026-02-30", 400, "to"},
		{"/revenue?from=2026-11-25&to=2026-11-24", 400, "from"},
	} {
		res := httptest.NewRecorder()
		f.http.ServeHTTP(res, httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil))
		var p httpapi.Problem
		if err := json.Unmarshal(res.Body.Bytes(), &p); err != nil || res.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("GET %s is no problem document: %d %s", c.path, res.Code, res.Body)
			continue
		}
		if res.Code != c.status || p.Status != c.status || p.Title == "" {
			t.Errorf("GET %s: %d %+v, want %d", c.path, res.Code, p, c.status)
		}
		if c.field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != c.field || p.Errors[0].Detail == "") {
			t.Errorf("GET %s names %+v, want %s", c.path, p.Errors, c.field)
		}
	}
}

// TestReadOnly: the API takes no commands.
func TestReadOnly(t *testing.T) {
	f := newFixture(t)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		res := httptest.NewRecorder()
		f.http.ServeHTTP(res, httptest.NewRequestWithContext(t.Context(), method, "/orders", nil))
		if res.Code != http.StatusMethodNotAllowed || res.Header().Get("Allow") == "" {
			t.Errorf("%s: %d, Allow %q", method, res.Code, res.Header().Get("Allow"))
		}
	}
}
