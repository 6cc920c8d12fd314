// Package orderstest is for tests only. It is the part of the order service's API that the service
// calls, with orders in memory.
package orderstest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Service is a running order service. [Start] creates it, and the end of the test stops it.
type Service struct {
	URL string

	mu     sync.Mutex
	orders map[string]string
	status int
	down   bool
	calls  int
}

// Start starts an order service without orders.
func Start(t testing.TB) *Service {
	t.Helper()
	s := &Service{orders: map[string]string{}}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Put stores an answer to GET /orders/{id}.
func (s *Service) Put(id, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders[id] = body
}

// Answer makes the service answer every request with this status; 0: as it should.
func (s *Service) Answer(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// Down makes the service cut every connection.
func (s *Service) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Calls returns the number of requests so far.
func (s *Service) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	body, known := s.orders[strings.TrimPrefix(r.URL.Path, "/orders/")]
	switch {
	case s.down:
		panic(http.ErrAbortHandler)
	case s.status != 0:
		w.WriteHeader(s.status)
	case !known:
		w.WriteHeader(http.StatusNotFound)
	default:
		_, _ = w.Write([]byte(body))
	}
}
