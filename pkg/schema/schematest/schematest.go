// Package schematest runs a schema registry inside a test's process.
//
// It implements the part of the Confluent API that package schema uses, and treats every schema as
// compatible: tests of compatibility use the real registry of the embedded stack. It ends with the
// test.
package schematest

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/schema"
)

// Registry is a registry that can have a [Fault].
type Registry struct {
	URL string

	mu       sync.Mutex
	schemas  []string         // by id-1
	subjects map[string][]int // ids by subject
	levels   map[string]string
	requests int
	fault    Fault
	over     chan struct{} // closed when the test ends
}

// Fault is the fault of a Registry. The zero value means none.
type Fault struct {
	Down     bool  // every request fails with 503
	Hangs    bool  // requests are accepted and never answered
	ReadOnly bool  // writes fail with 422 and 42205, as of a registry in mode READONLY
	NoPosts  bool  // writes fail with 403, and the lookup by schema too, as by a proxy
	Denies   []int // ids that it denies, with 404 and 40403
}

// Start runs a registry until the end of the test.
func Start(t testing.TB) *Registry {
	t.Helper()
	r, stop := New()
	t.Cleanup(stop)
	return r
}

// New runs a registry until stop is called, for an example, which has no test.
func New() (r *Registry, stop func()) {
	r = &Registry{subjects: map[string][]int{}, levels: map[string]string{}, over: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(r.serve))
	r.URL = server.URL
	return r, func() {
		close(r.over) // first: the server waits for its requests
		server.Close()
	}
}

// Codec returns a codec of this registry with a long patience, for a busy machine.
func (r *Registry) Codec(types event.Catalogue) *schema.Codec {
	const patience = 20 * time.Second
	return schema.New(schema.Config{Types: types, Client: schema.NewClient(r.URL, schema.WithTimeout(patience)), Patience: patience})
}

// SetDown makes every request fail with 503, or work again.
func (r *Registry) SetDown(down bool) { r.Break(Fault{Down: down}) }

// Break replaces the previous fault; the zero Fault ends it. Requests that hang continue to hang
// until the test ends.
func (r *Registry) Break(f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
}

// Requests returns the number of requests, including those of a broken registry.
func (r *Registry) Requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	path := strings.Split(strings.TrimPrefix(req.URL.Path, "/"), "/")
	lookup := req.Method == http.MethodPost && len(path) == 2
	write := req.Method != http.MethodGet && !lookup
	r.requests++
	switch f := r.fault; {
	case f.Hangs:
		r.mu.Unlock()
		select {
		case <-r.over:
		case <-req.Context().Done():
		}
		r.mu.Lock()
		refuse(w, http.StatusServiceUnavailable, 50003, "the test is over")
	case f.Down:
		refuse(w, http.StatusServiceUnavailable, 50003, "down")
	case f.NoPosts && (write || lookup):
		refuse(w, http.StatusForbidden, 40301, "writing is forbidden")
	case f.ReadOnly && write:
		refuse(w, http.StatusUnprocessableEntity, 42205, "Subject is in read-only mode")
	case path[0] == "config" && len(path) == 2:
		r.level(w, req, path[1])
	case path[0] == "schemas" && len(path) == 3:
		r.byID(w, path[2])
	case path[0] == "subjects" && len(path) == 1:
		answer(w, http.StatusOK, slices.Sorted(maps.Keys(r.subjects)))
	case path[0] == "subjects" && req.Method == http.MethodPost:
		r.post(w, req, path[1], lookup)
	case path[0] == "subjects" && len(path) >= 3:
		r.versions(w, path[1], path[3:])
	default:
		refuse(w, http.StatusNotFound, http.StatusNotFound, "no such path")
	}
}

func (r *Registry) level(w http.ResponseWriter, req *http.Request, subject string) {
	if req.Method == http.MethodGet {
		level, ok := r.levels[subject]
		if !ok {
			refuse(w, http.StatusNotFound, 40408, "Subject has no level of its own")
			return
		}
		answer(w, http.StatusOK, map[string]string{"compatibilityLevel": level})
		return
	}
	var in struct{ Compatibility string }
	if !read(w, req, &in) {
		return
	}
	r.levels[subject] = in.Compatibility
	answer(w, http.StatusOK, map[string]string{"compatibility": in.Compatibility})
}

func (r *Registry) byID(w http.ResponseWriter, text string) {
	id, err := strconv.Atoi(text)
	if err != nil || id < 1 || id > len(r.schemas) || slices.Contains(r.fault.Denies, id) {
		refuse(w, http.StatusNotFound, 40403, "Schema not found")
		return
	}
	answer(w, http.StatusOK, map[string]string{"schema": r.schemas[id-1]})
}

// post looks a schema up, or registers it.
func (r *Registry) post(w http.ResponseWriter, req *http.Request, subject string, lookup bool) {
	var in struct{ Schema string }
	if !read(w, req, &in) {
		return
	}
	id := slices.Index(r.schemas, in.Schema) + 1
	has := slices.Contains(r.subjects[subject], id)
	switch {
	case lookup && len(r.subjects[subject]) == 0:
		refuse(w, http.StatusNotFound, 40401, "Subject not found")
		return
	case lookup && !has:
		refuse(w, http.StatusNotFound, 40403, "Schema not found")
		return
	case id == 0:
		r.schemas = append(r.schemas, in.Schema)
		id = len(r.schemas)
	}
	if !has {
		r.subjects[subject] = append(r.subjects[subject], id)
	}
	answer(w, http.StatusOK, map[string]any{"id": id, "subject": subject, "schema": in.Schema,
		"version": slices.Index(r.subjects[subject], id) + 1})
}

// versions lists the versions of a subject, or returns one.
func (r *Registry) versions(w http.ResponseWriter, subject string, number []string) {
	ids := r.subjects[subject]
	if len(ids) == 0 {
		refuse(w, http.StatusNotFound, 40401, "Subject not found")
		return
	}
	if len(number) == 0 {
		numbers := make([]int, len(ids))
		for i := range ids {
			numbers[i] = i + 1
		}
		answer(w, http.StatusOK, numbers)
		return
	}
	n, err := strconv.Atoi(number[0])
	if number[0] == "latest" {
		n, err = len(ids), nil
	}
	if err != nil || n < 1 || n > len(ids) {
		refuse(w, http.StatusNotFound, 40402, "Version not found")
		return
	}
	id := ids[n-1]
	answer(w, http.StatusOK, map[string]any{"subject": subject, "version": n, "id": id, "schema": r.schemas[id-1]})
}

func read(w http.ResponseWriter, req *http.Request, into any) bool {
	if err := json.NewDecoder(req.Body).Decode(into); err != nil {
		refuse(w, http.StatusBadRequest, http.StatusBadRequest, err.Error())
		return false
	}
	return true
}

func refuse(w http.ResponseWriter, status, code int, message string) {
	answer(w, status, map[string]any{"error_code": code, "message": message})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails when the client has gone
}
