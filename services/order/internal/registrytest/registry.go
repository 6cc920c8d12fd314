// Package registrytest is for tests only: a schema registry that keeps one schema
// per subject and never objects. Compatibility and versions are tested where a real
// registry runs, in pkg/schema and e2e.
package registrytest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
)

// Start runs the registry until the end of the test and returns its URL.
func Start(t testing.TB) string {
	t.Helper()
	var mu sync.Mutex
	ids, schemas := map[string]int{}, map[int]string{}
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Errorf("registry: %v", err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /config/{subject}", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]string{"compatibility": "FULL_TRANSITIVE"})
	})
	mux.HandleFunc("POST /subjects/{subject}/versions", func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Schema string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		id, ok := ids[r.PathValue("subject")]
		if !ok {
			id = len(ids) + 1
			ids[r.PathValue("subject")], schemas[id] = id, body.Schema
		}
		answer(w, map[string]int{"id": id})
	})
	mux.HandleFunc("GET /schemas/ids/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		mu.Lock()
		defer mu.Unlock()
		if err != nil || schemas[id] == "" {
			http.Error(w, `{"error_code":40403,"message":"Schema not found"}`, http.StatusNotFound)
			return
		}
		answer(w, map[string]string{"schema": schemas[id]})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}
