// Package registrytest is for tests only: a schema registry in memory that takes every
// schema. What a real one refuses is tested in pkg/schema and end to end.
package registrytest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
)

// registry gives the nth schema it has not seen the id n.
type registry struct {
	mu      sync.Mutex
	schemas []string
}

// Start runs the registry until the end of the test and returns its URL.
func Start(t testing.TB) string {
	t.Helper()
	r := &registry{}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /config/{subject}", func(w http.ResponseWriter, _ *http.Request) {
		send(w, map[string]string{"compatibility": "FULL_TRANSITIVE"})
	})
	mux.HandleFunc("POST /subjects/{subject}/versions", r.register)
	mux.HandleFunc("GET /schemas/ids/{id}", r.byID)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func (r *registry) register(w http.ResponseWriter, req *http.Request) {
	var body struct {
		Schema string `json:"schema"`
	}
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, known := range r.schemas {
		if known == body.Schema {
			send(w, map[string]int{"id": i + 1})
			return
		}
	}
	r.schemas = append(r.schemas, body.Schema)
	send(w, map[string]int{"id": len(r.schemas)})
}

func (r *registry) byID(w http.ResponseWriter, req *http.Request) {
	id, err := strconv.Atoi(req.PathValue("id"))
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || id < 1 || id > len(r.schemas) {
		http.Error(w, `{"error_code":40403,"message":"Schema not found"}`, http.StatusNotFound)
		return
	}
	send(w, map[string]string{"schema": r.schemas[id-1]})
}

func send(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	_ = json.NewEncoder(w).Encode(v) // a caller that has left asks again
}
