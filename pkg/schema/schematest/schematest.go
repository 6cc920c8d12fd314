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
	schemas []string // by id-1
	down    bool
}

// Start runs a registry until the end of the test.
func Start(t testing.TB) *Registry {
	t.Helper()
	r := &Registry{}
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
		answer(w, http.StatusOK, map[string]int{"id": r.id(in.Schema)})
	default:
		var id int
		if _, err := fmt.Sscanf(req.URL.Path, "/schemas/ids/%d", &id); err != nil || id < 1 || id > len(r.schemas) {
			answer(w, http.StatusNotFound, map[string]any{"error_code": 40403, "message": "Schema not found"})
			return
		}
		answer(w, http.StatusOK, map[string]string{"schema": r.schemas[id-1]})
	}
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
