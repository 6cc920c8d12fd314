package opstest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
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
	s.URL = serve(t, mux)
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
	write(w, http.StatusOK, page(s.Sagas, r.URL.Query().Get("cursor"), s.PageSize))
}

func (s *Services) retry(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.Payments[r.PathValue("id")]
	if p == nil || p["status"] != "REFUND_FAILED" {
		write(w, http.StatusConflict, map[string]any{"title": "Conflict", "status": 409, "detail": "there is no refund to retry"})
		return
	}
	s.retried = append(s.retried, keyAndCaller(r))
	p["status"] = "REFUNDING"
	write(w, http.StatusAccepted, p)
}

// serve serves routes until the test ends, and returns their address.
func serve(t testing.TB, routes http.Handler) (url string) {
	server := httptest.NewServer(routes)
	t.Cleanup(server.Close)
	return server.URL
}

// page returns a page of sagas behind an order id, in the order of their order ids. size 0: all.
func page(sagas []map[string]any, after string, size int) map[string]any {
	rest := []map[string]any{}
	for _, saga := range sagas {
		if saga["orderId"].(string) > after {
			rest = append(rest, saga)
		}
	}
	if size <= 0 || len(rest) <= size {
		return map[string]any{"sagas": rest}
	}
	return map[string]any{"sagas": rest[:size], "nextCursor": rest[size-1]["orderId"]}
}

// keyAndCaller returns the idempotency key and the caller of a request, with a space between.
func keyAndCaller(r *http.Request) string {
	return r.Header.Get("Idempotency-Key") + " " + r.Header.Get("X-Caller-Id")
}

func write(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) //nolint:errcheck // it fails only when the client has gone
}
