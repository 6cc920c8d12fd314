// Package opstest serves the contract of the services' operator APIs from memory, so that
// what talks to them can be tested with dead letters, parked keys and breakers in any
// state at once. It is as strict as the services are: unknown parameters and fields are
// refused, and so is a change in nobody's name.
package opstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"eventshop.example/cmd/shop/internal/ops"
)

// Server is the operator listener of one process. Its fields are set before it is asked.
type Server struct {
	URL      string
	Group    string
	Parked   []ops.ParkedKey
	Breakers []ops.Breaker
	Outbox   ops.Outbox
	Rows     int64 // that Republish finds
	// Ends says what becomes of a resubmission at the next question about it; nil leaves it
	// under way.
	Ends func(*ops.Detail)
	// Refuses makes changes of the dead letter with that id fail with status 500.
	Refuses string
	// HangsUp makes every change end without an answer.
	HangsUp bool

	mu      sync.Mutex
	skips   []ops.Skip
	letters []*ops.Detail
	changes []string // method, path, operator and body of each change that was asked for
}

// Start starts a server for a group; it ends with the test.
func Start(t testing.TB, group string) *Server {
	t.Helper()
	s := &Server{Group: group}
	server := httptest.NewServer(s.handler())
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// ID returns the nth id of dead letters, which sort by n. It is a UUIDv7 of 1 January
// 2026 and n milliseconds.
func ID(n int) string {
	id := uuid.UUID{0x01, 0x9b, 0x76, 0xda, byte(n >> 8), byte(n), 0x70, 0, 0x80}
	id[14], id[15] = byte(n>>8), byte(n)
	return id.String()
}

// Add adds an open dead letter with the nth id and returns it to be completed.
func (s *Server) Add(n int, key string) *ops.Detail {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
	payload := "AAAAAAE="
	d := &ops.Detail{
		Summary: ops.Summary{
			ID: ID(n), Group: s.Group, Topic: "order.events", Partition: 3, Offset: int64(n), RecordTime: at, Key: key,
			EventType: "OrderCreated", ErrorClass: "internal", ErrorMessage: "boom", Attempts: 5,
			FirstFailure: at, LastFailure: at, Status: ops.Open, Parks: true, CreatedAt: at,
		},
		ErrorStack: "goroutine 1", Payload: json.RawMessage(`{"orderId":"` + key + `"}`), PayloadBase64: &payload,
		Headers: []ops.Header{Text("ce_type", "OrderCreated")},
		Actions: []ops.Action{{At: at, Actor: s.Group, Action: "dead_lettered", Detail: "boom"}},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letters = append(s.letters, d)
	return d
}

// Text returns a header.
func Text(key, value string) ops.Header { return ops.Header{Key: &key, Value: &value} }

// Changes lists the changes that were asked for: "POST /dead-letters/… ada {…}".
func (s *Server) Changes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.changes)
}

// Status returns the status of the nth dead letter.
func (s *Server) Status(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(ID(n)).Status
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, params []string, answer func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			v, err := s.checked(r, params, answer)
			if s.HangsUp && r.Method != http.MethodGet {
				panic(http.ErrAbortHandler) // closes the connection
			}
			status := http.StatusOK
			if p, ok := err.(*ops.Problem); ok {
				v, status = p, p.Status
				w.Header().Set("Content-Type", "application/problem+json")
			}
			w.WriteHeader(status)
			json.NewEncoder(w).Encode(v)
		})
	}
	handle("GET /dead-letters", []string{"status", "topic", "type", "class", "key", "since", "until", "limit", "after"}, s.list)
	handle("GET /dead-letters/stats", nil, s.stats)
	handle("GET /dead-letters/{id}", nil, func(r *http.Request) (any, error) { return s.letter(r) })
	handle("PATCH /dead-letters/{id}", nil, s.edit)
	handle("POST /dead-letters/{id}/resubmit", nil, s.resubmit)
	handle("POST /dead-letters/{id}/discard", nil, s.discard)
	handle("GET /skips", []string{"limit"}, func(*http.Request) (any, error) { return map[string]any{"skips": s.skips}, nil })
	handle("POST /skips", nil, s.skip)
	handle("GET /parked", []string{"limit"}, func(r *http.Request) (any, error) {
		n, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		return map[string]any{"parkedKeys": s.Parked[:min(n, len(s.Parked))]}, nil
	})
	handle("GET /breakers", nil, func(*http.Request) (any, error) {
		return map[string]any{"breakers": append([]ops.Breaker{}, s.Breakers...)}, nil
	})
	handle("GET /outbox", nil, func(*http.Request) (any, error) { return s.Outbox, nil })
	handle("POST /outbox/republish", nil, func(r *http.Request) (any, error) {
		var in struct {
			Topics       []string
			Since, Until *time.Time
			DryRun       bool
		}
		return map[string]any{"rows": s.Rows}, body(r, &in)
	})
	return mux
}

func refuse(status int, format string, args ...any) error {
	return &ops.Problem{Status: status, Title: http.StatusText(status), Detail: fmt.Sprintf(format, args...)}
}

// checked answers a request that keeps the rules all have in common.
func (s *Server) checked(r *http.Request, params []string, answer func(*http.Request) (any, error)) (any, error) {
	for name := range r.URL.Query() {
		if !slices.Contains(params, name) {
			return nil, refuse(400, "unknown parameter %s", name)
		}
	}
	if r.Method == http.MethodGet {
		return answer(r)
	}
	actor := r.Header.Get("X-Operator")
	b, err := io.ReadAll(r.Body)
	if err != nil || actor == "" || len(actor) > 100 {
		return nil, refuse(400, "the header X-Operator is missing or too long")
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	s.changes = append(s.changes, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, actor, b)))
	return answer(r)
}

func body(r *http.Request, into any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return refuse(400, "the body: %v", err)
	}
	return nil
}

func (s *Server) find(id string) *ops.Detail {
	i := slices.IndexFunc(s.letters, func(d *ops.Detail) bool { return d.ID == id })
	if i < 0 {
		return nil
	}
	return s.letters[i]
}

func (s *Server) letter(r *http.Request) (*ops.Detail, error) {
	if _, err := uuid.Parse(r.PathValue("id")); err != nil {
		return nil, refuse(400, "id must be a UUID")
	}
	d := s.find(r.PathValue("id"))
	if d == nil {
		return nil, refuse(404, "there is no dead letter %s", r.PathValue("id"))
	}
	s.end(d)
	return d, nil
}

func (s *Server) end(d *ops.Detail) {
	if d.Status == ops.Resubmitted && s.Ends != nil {
		s.Ends(d)
	}
}

func (s *Server) list(r *http.Request) (any, error) {
	q := r.URL.Query()
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit < 1 || limit > ops.MaxPage {
		return nil, refuse(400, "limit")
	}
	page := map[string]any{}
	found := []ops.Summary{}
	for _, d := range s.letters {
		s.end(d)
		if ok, err := selects(q, d); err != nil {
			return nil, err
		} else if !ok || d.ID <= q.Get("after") {
			continue
		}
		if len(found) == limit {
			page["next"] = found[limit-1].ID
			break
		}
		found = append(found, d.Summary)
	}
	page["deadLetters"] = found
	return page, nil
}

func selects(q url.Values, d *ops.Detail) (bool, error) {
	status := q.Get("status")
	if status == "" {
		status = ops.Open
	}
	for name, value := range map[string]string{"topic": d.Topic, "type": d.EventType, "class": d.ErrorClass, "key": d.Key} {
		if q.Has(name) && q.Get(name) != value {
			return false, nil
		}
	}
	for name, outside := range map[string]func(time.Time) bool{"since": d.CreatedAt.Before, "until": func(t time.Time) bool { return !d.CreatedAt.Before(t) }} {
		if !q.Has(name) {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, q.Get(name))
		if err != nil {
			return false, refuse(400, "%s must be a time in RFC 3339", name)
		}
		if outside(t) {
			return false, nil
		}
	}
	return status == ops.AnyStatus || status == d.Status, nil
}
