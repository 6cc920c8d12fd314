package opstest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Orchestrator serves the orchestrator's sagas. Set its fields before the first request.
type Orchestrator struct {
	URL         string
	Sagas       []map[string]any // as GET /sagas/{orderId} returns them, by order id
	Definitions []map[string]any // GET /definitions
	PageSize    int              // of /sagas; 0: as many as there are

	mu      sync.Mutex
	retried []string // idempotency key and caller of each retry
	noted   []string // idempotency key, caller, lines and note of each acknowledgement
}

// StartOrchestrator starts it; it ends with the test.
func StartOrchestrator(t testing.TB) *Orchestrator {
	t.Helper()
	o := &Orchestrator{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sagas", o.list)
	mux.HandleFunc("GET /sagas/{id}", o.one)
	mux.HandleFunc("POST /sagas/{id}/retry", o.retry)
	mux.HandleFunc("POST /sagas/{id}/acknowledge", o.acknowledge)
	mux.HandleFunc("GET /definitions", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, map[string]any{"definitions": o.Definitions})
	})
	o.URL = serve(t, mux)
	return o
}

// Retried returns the idempotency keys and callers of the retries.
func (o *Orchestrator) Retried() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.retried)
}

// Acknowledged returns the idempotency keys, callers, lines and notes of the acknowledgements.
func (o *Orchestrator) Acknowledged() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.noted)
}

func (o *Orchestrator) list(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	query, listed := r.URL.Query(), []map[string]any{}
	for _, saga := range o.Sagas {
		if query.Get("attention") != "true" || saga["attention"] != nil {
			listed = append(listed, saga)
		}
	}
	write(w, http.StatusOK, page(listed, query.Get("after"), o.PageSize))
}

func (o *Orchestrator) find(id string) map[string]any {
	i := slices.IndexFunc(o.Sagas, func(s map[string]any) bool { return s["orderId"] == id })
	if i < 0 {
		return nil
	}
	return o.Sagas[i]
}

func (o *Orchestrator) one(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if saga := o.find(r.PathValue("id")); saga != nil {
		write(w, http.StatusOK, saga)
		return
	}
	write(w, http.StatusNotFound, map[string]any{"title": "Not Found", "status": 404})
}

// retry sends a saga's "command" again, under the id "command-<n>"; without one it refuses.
func (o *Orchestrator) retry(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	saga := o.find(r.PathValue("id"))
	if saga == nil || saga["command"] == nil {
		write(w, http.StatusConflict, map[string]any{"title": "Conflict", "status": 409, "detail": "there is no command to send again"})
		return
	}
	o.retried = append(o.retried, keyAndCaller(r))
	after := map[string]any{}
	for k, v := range saga {
		after[k] = v
	}
	after["log"] = []map[string]any{{"n": 9, "input": "Retry", "action": "apply", "command": saga["command"], "commandId": ID(0x99)}}
	write(w, http.StatusOK, after)
}

// acknowledge ends a saga's attention. It refuses a saga without any, and one with a "command".
func (o *Orchestrator) acknowledge(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	saga := o.find(r.PathValue("id"))
	var in struct {
		Note  string
		Lines int
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil || in.Note == "" {
		write(w, http.StatusBadRequest, map[string]any{"title": "Bad Request", "status": 400})
		return
	}
	if saga == nil || saga["attention"] == nil || saga["command"] != nil {
		write(w, http.StatusConflict, map[string]any{"title": "Conflict", "status": 409, "detail": "there is nothing to acknowledge"})
		return
	}
	o.noted = append(o.noted, strings.Join([]string{r.Header.Get("Idempotency-Key"), r.Header.Get("X-Caller-Id"), strconv.Itoa(in.Lines), in.Note}, " "))
	delete(saga, "attention")
	write(w, http.StatusOK, saga)
}

// style serves the ramp of the order service.
func (s *Services) style(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPut {
		var in struct{ OrchestratedPercent *int }
		if json.NewDecoder(r.Body).Decode(&in) != nil || in.OrchestratedPercent == nil {
			write(w, http.StatusBadRequest, map[string]any{"title": "Bad Request", "status": 400})
			return
		}
		if s.Ramp["ready"] != true && *in.OrchestratedPercent > 0 {
			write(w, http.StatusConflict, map[string]any{"title": "Conflict", "status": 409, "detail": s.Ramp["reason"]})
			return
		}
		s.Ramp["orchestratedPercent"] = *in.OrchestratedPercent
	}
	write(w, http.StatusOK, s.Ramp)
}
