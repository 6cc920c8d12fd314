package opstest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Services serves the order, payment, inventory and shipping services' views of orders. Set its fields before
// the first request.
type Services struct {
	URL          string
	Sagas        []map[string]any          // GET /sagas, page by page
	Orders       map[string]map[string]any // GET /orders/{id}
	Payments     map[string]map[string]any // GET /payments/{id}
	Reservations map[string]map[string]any // GET /reservations/{id}
	Shipments    map[string]map[string]any // GET /shipments/{id}
	Ramp         map[string]any            // GET and PUT /sagas/style
	PageSize     int                       // of /sagas; 0: as many as there are

	mu      sync.Mutex
	queries []string
	retried []string // idempotency key and caller of each refund that was retried
}

// StartServices starts them on one address; they end with the test.
func StartServices(t testing.TB) *Services {
	t.Helper()
	s := &Services{Orders: map[string]map[string]any{}, Payments: map[string]map[string]any{}, Reservations: map[string]map[string]any{}, Shipments: map[string]map[string]any{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sagas", s.sagas)
	mux.HandleFunc("/sagas/style", s.style)
	for path, of := range map[string]map[string]map[string]any{"orders": s.Orders, "payments": s.Payments, "reservations": s.Reservations, "shipments": s.Shipments} {
		mux.HandleFunc("GET /"+path+"/{id}", func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			v, ok := of[r.PathValue("id")]
			if !ok {
				write(w, http.StatusNotFound, map[string]any{"title": "Not Found", "status": 404})
				return
			}
			write(w, http.StatusOK, v)
		})
	}
	mux.HandleFunc("POST /payments/{id}/refund-retry", s.retry)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Queries lists the query strings that /sagas was asked with.
func (s *Services) Queries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queries)
}

// Retried returns the idempotency keys and callers of the retried refunds.
func (s *Services) Retried() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.retried)
}

func (s *Services) sagas(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries = append(s.queries, r.URL.RawQuery)
	page := []map[string]any{}
	answer := map[string]any{}
	for _, saga := range s.Sagas {
		if saga["orderId"].(string) <= r.URL.Query().Get("cursor") {
			continue
		}
		if s.PageSize > 0 && len(page) == s.PageSize {
			answer["nextCursor"] = page[s.PageSize-1]["orderId"]
			break
		}
		page = append(page, saga)
	}
	answer["sagas"] = page
	write(w, http.StatusOK, answer)
}

func (s *Services) retry(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.Payments[r.PathValue("id")]
	if p == nil || p["status"] != "REFUND_FAILED" {
		write(w, http.StatusConflict, map[string]any{"title": "Conflict", "status": 409, "detail": "there is no refund to retry"})
		return
	}
	s.retried = append(s.retried, strings.Join([]string{r.Header.Get("Idempotency-Key"), r.Header.Get("X-Caller-Id")}, " "))
	p["status"] = "REFUNDING"
	write(w, http.StatusAccepted, p)
}

func write(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) //nolint:errcheck // it fails only when the client has gone
}
