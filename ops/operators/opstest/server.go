// Package opstest serves the services' operator APIs from memory, behind the validation of the real
// one. Tests of its clients can have dead letters, parked keys and breakers in any state at once.
package opstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/ops/operators"
	"eventshop.example/pkg/operator"
	"eventshop.example/pkg/operator/operatorapi"
)

// Server is the operator listener of one process. Set its fields before the first request.
type Server struct {
	URL      string
	Group    string
	Parked   []operators.ParkedKey
	Breakers []operators.Breaker
	Outbox   operators.Outbox
	Rows     int64 // the result of Republish
	// Ends sets the outcome of a resubmission when it is next read. If Ends is nil, the
	// resubmission stays under way.
	Ends func(*operators.Detail)
	// Refuses is the id of a dead letter whose changes fail with status 500.
	Refuses string
	// HangsUp closes the connection of every change without an answer.
	HangsUp bool

	mu      sync.Mutex // held during a request
	skips   []operators.Skip
	letters []*operators.Detail
	changes []string // method, path, operator and body of each requested change
}

// Start starts a server for a group; it ends with the test.
func Start(t testing.TB, group string) *Server {
	t.Helper()
	s := &Server{Group: group}
	routes, err := operator.Routes(&api{Server: s}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	s.URL = serve(t, s.recording(routes))
	return s
}

// ID returns the nth id of dead letters; ids sort by n. It is a UUIDv7 of 1 January 2026 plus n
// milliseconds.
func ID(n int) string {
	id := uuid.UUID{0x01, 0x9b, 0x76, 0xda, byte(n >> 8), byte(n), 0x70, 0, 0x80}
	id[14], id[15] = byte(n>>8), byte(n)
	return id.String()
}

// Add adds an open dead letter with the nth id. The test completes the returned value.
func (s *Server) Add(n int, key string) *operators.Detail {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
	payload := "AAAAAAE="
	d := &operators.Detail{
		Summary: operators.Summary{
			ID: ID(n), Group: s.Group, Topic: "order.events", Partition: 3, Offset: int64(n), RecordTime: at, Key: &key,
			EventType: "OrderCreated", ErrorClass: "internal", ErrorMessage: "boom", Attempts: 5,
			FirstFailure: at, LastFailure: at, Status: operators.Open, Parks: true, CreatedAt: at,
		},
		ErrorStack: "goroutine 1", Payload: json.RawMessage(`{"orderId":"` + key + `"}`), PayloadBase64: &payload,
		Headers: []operators.Header{Text("ce_type", "OrderCreated")},
		Actions: []operators.Action{{At: at, Actor: s.Group, Action: operatorapi.ActionActionDeadLettered, Detail: "boom"}},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letters = append(s.letters, d)
	return d
}

// Key returns a key of a dead letter or of a parked key.
func Key(text string) *string { return &text }

// Text returns a header.
func Text(key, value string) operators.Header { return operators.Header{Key: &key, Value: &value} }

// Changes returns the requested changes: "POST /dead-letters/… ada {…}".
func (s *Server) Changes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.changes)
}

// Status returns the status of the nth dead letter.
func (s *Server) Status(n int) operators.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(ID(n)).Status
}

func (s *Server) find(id string) *operators.Detail {
	i := slices.IndexFunc(s.letters, func(d *operators.Detail) bool { return d.ID == id })
	if i < 0 {
		return nil
	}
	return s.letters[i]
}

// recording serves one request at a time and notes the changes that name their operator.
func (s *Server) recording(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.Method == http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		b, err := io.ReadAll(r.Body)
		if actor := r.Header.Get("X-Operator"); err == nil && actor != "" {
			s.changes = append(s.changes, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, actor, b)))
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		if s.HangsUp {
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler) // closes the connection
		}
		next.ServeHTTP(w, r)
	})
}
