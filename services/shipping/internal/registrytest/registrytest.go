// Package registrytest is a schema registry for tests: it speaks as much of the Confluent
// registry's API as a producer needs, takes every schema without checking it, and can be
// down. It is for tests only.
package registrytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Registry is a running registry. Start creates it; the test's end stops it.
type Registry struct {
	URL string

	mu   sync.Mutex
	ids  map[string]int
	down bool
}

// Start starts a registry.
func Start(t testing.TB) *Registry {
	t.Helper()
	r := &Registry{ids: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// SetDown makes the registry cut every connection, or end that.
func (r *Registry) SetDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		panic(http.ErrAbortHandler)
	}
	var body map[string]any
	_ = json.NewDecoder(req.Body).Decode(&body) // GET has none
	switch {
	case strings.HasPrefix(req.URL.Path, "/config/"):
		_ = json.NewEncoder(w).Encode(map[string]any{"compatibility": body["compatibility"], "compatibilityLevel": body["compatibility"]})
	case req.Method == http.MethodPost:
		text := body["schema"].(string)
		if r.ids[text] == 0 {
			r.ids[text] = len(r.ids) + 1
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"id": r.ids[text], "version": 1, "schema": text})
	default:
		for text, id := range r.ids {
			if strings.HasSuffix(req.URL.Path, fmt.Sprintf("/schemas/ids/%d", id)) {
				_ = json.NewEncoder(w).Encode(map[string]any{"id": id, "version": 1, "schema": text})
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]any{"error_code": 40403, "message": "schema not found"})
	}
}
