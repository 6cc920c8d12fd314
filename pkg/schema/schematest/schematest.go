// Package schematest gives a test a schema registry inside the process.
//
// It speaks the part of the Confluent API that package schema uses and believes
// every schema to be compatible: tests of compatibility use the real registry of
// the embedded stack. It ends with the test.
package schematest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Registry is a registry that can be taken down and brought back.
type Registry struct {
	URL string

	mu      sync.Mutex
	schemas []string       // by id-1
	latest  map[string]int // id by subject
	down    bool
}

// Start runs a registry until the end of the test.
func Start(t testing.TB) *Registry {
	t.Helper()
	r := &Registry{latest: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// SetDown makes every request fail with 503, or work again.
func (r *Registry) SetDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		answer(w, http.StatusServiceUnavailable, map[string]any{"error_code": 50003, "message": "down"})
		return
	}
	switch {
	case strings.HasPrefix(req.URL.Path, "/config"):
		answer(w, http.StatusOK, map[string]string{"compatibility": "FULL_TRANSITIVE"})
	case req.Method == http.MethodPost:
		var in struct{ Schema string }
		if err := json.NewDecoder(req.Body).Decode(&in); err != nil {
			answer(w, http.StatusBadRequest, map[string]any{"error_code": 400, "message": err.Error()})
			return
		}
		id := r.id(in.Schema)
		r.latest[subject(req)] = id
		answer(w, http.StatusOK, map[string]int{"id": id})
	case strings.HasSuffix(req.URL.Path, "/versions/latest"):
		id, ok := r.latest[subject(req)]
		if !ok {
			answer(w, http.StatusNotFound, map[string]any{"error_code": 40401, "message": "Subject not found"})
			return
		}
		answer(w, http.StatusOK, map[string]any{"subject": subject(req), "version": 1, "id": id, "schema": r.schemas[id-1]})
	default:
		var id int
		if _, err := fmt.Sscanf(req.URL.Path, "/schemas/ids/%d", &id); err != nil || id < 1 || id > len(r.schemas) {
			answer(w, http.StatusNotFound, map[string]any{"error_code": 40403, "message": "Schema not found"})
			return
		}
		answer(w, http.StatusOK, map[string]string{"schema": r.schemas[id-1]})
	}
}

// subject returns the subject in a path /subjects/{subject}/versions….
func subject(req *http.Request) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/subjects/"), "/")
	return name
}

func (r *Registry) id(schema string) int {
	for i, s := range r.schemas {
		if s == schema {
			return i + 1
		}
	}
	r.schemas = append(r.schemas, schema)
	return len(r.schemas)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone: nobody to tell
}
