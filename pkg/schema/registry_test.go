package schema_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/schema"
)

// registry implements the part of Confluent's registry API that the client uses. It checks new
// versions for full transitive compatibility when the subject's level requires it.
type registry struct {
	*httptest.Server

	mu       sync.Mutex
	schemas  []string         // id is index + 1
	versions map[string][]int // ids by subject
	levels   map[string]string
	requests map[string]int                                // by method and path
	fault    func(http.ResponseWriter, *http.Request) bool // answers in place of the registry when it returns true
	failure  int                                           // HTTP status to answer everything with; 0 for none
	html     bool                                          // the failure is a proxy's page instead of the API's JSON
	gate     chan struct{}                                 // when not nil, lookups by id wait until it is closed
	arrived  chan struct{}                                 // receives a value for each such lookup
	failed   chan struct{}                                 // receives a value for each failure, while there is room
}

func newRegistry(t testing.TB) *registry {
	r := &registry{
		versions: map[string][]int{}, levels: map[string]string{}, requests: map[string]int{},
		arrived: make(chan struct{}, 64), failed: make(chan struct{}, 2),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /subjects/{subject}/versions", r.register)
	mux.HandleFunc("POST /subjects/{subject}", r.lookup)
	mux.HandleFunc("GET /subjects/{subject}/versions", r.numbers)
	mux.HandleFunc("GET /subjects/{subject}/versions/{n}", r.version)
	mux.HandleFunc("GET /subjects/{subject}/versions/latest", r.latest)
	mux.HandleFunc("GET /subjects", r.subjects)
	mux.HandleFunc("GET /schemas/ids/{id}", r.byID)
	mux.HandleFunc("GET /config/{subject}", r.level)
	mux.HandleFunc("PUT /config/{subject}", r.config)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.requests[req.Method+" "+req.URL.Path]++
		failure, html, gate, fault := r.failure, r.html, r.gate, r.fault
		r.mu.Unlock()
		if fault != nil && fault(w, req) {
			return
		}
		if gate != nil && strings.HasPrefix(req.URL.Path, "/schemas/ids/") {
			r.arrived <- struct{}{}
			<-gate
		}
		if failure != 0 {
			select {
			case r.failed <- struct{}{}:
			default:
			}
		}
		switch {
		case html:
			w.WriteHeader(failure)
			fmt.Fprint(w, "<html>not what you look for</html>")
		case failure != 0:
			refuse(w, failure, failure, "told to fail")
		default:
			mux.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// codec returns a codec with a long patience, for a busy machine.
func (r *registry) codec() *schema.Codec {
	return schema.New(schema.Config{Types: sample.Catalogue(), Client: schema.NewClient(r.URL+"/", schema.WithTimeout(patience)), Patience: patience})
}

const patience = 20 * time.Second

// add stores a schema without checking anything and returns its id.
func (r *registry) add(subject, text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.store(subject, text)
}

func (r *registry) store(subject, text string) int {
	for i, known := range r.schemas {
		if known == text {
			return i + 1
		}
	}
	r.schemas = append(r.schemas, text)
	r.versions[subject] = append(r.versions[subject], len(r.schemas))
	return len(r.schemas)
}

func (r *registry) count(request string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests[request]
}

func (r *registry) fail(status int, html bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure, r.html = status, html
}

func (r *registry) register(w http.ResponseWriter, req *http.Request) {
	var body struct{ Schema string }
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
		refuse(w, 400, 400, err.Error())
		return
	}
	if _, err := schema.Canonical(body.Schema); err != nil {
		refuse(w, 422, 42201, err.Error())
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	subject := req.PathValue("subject")
	for _, id := range r.versions[subject] {
		if r.levels[subject] != string(schema.FullTransitive) {
			break
		}
		old := r.schemas[id-1]
		if schema.Compatible(body.Schema, old) != nil || schema.Compatible(old, body.Schema) != nil {
			refuse(w, 409, 409, "incompatible with an earlier version")
			return
		}
	}
	answer(w, map[string]any{"id": r.store(subject, body.Schema)})
}

// lookup finds a schema of a subject without writing.
func (r *registry) lookup(w http.ResponseWriter, req *http.Request) {
	var body struct{ Schema string }
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
		refuse(w, 400, 400, err.Error())
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := r.versions[req.PathValue("subject")]
	for i, id := range ids {
		if r.schemas[id-1] == body.Schema {
			answer(w, map[string]any{"subject": req.PathValue("subject"), "id": id, "version": i + 1, "schema": body.Schema})
			return
		}
	}
	if len(ids) == 0 {
		refuse(w, 404, 40401, "no such subject")
		return
	}
	refuse(w, 404, 40403, "no such schema")
}

func (r *registry) numbers(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	numbers := []int{}
	for i := range r.versions[req.PathValue("subject")] {
		numbers = append(numbers, i+1)
	}
	if len(numbers) == 0 {
		refuse(w, 404, 40401, "no such subject")
		return
	}
	answer(w, numbers)
}

func (r *registry) version(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := r.versions[req.PathValue("subject")]
	n, err := strconv.Atoi(req.PathValue("n"))
	if err != nil || n < 1 || n > len(ids) {
		refuse(w, 404, 40402, "no such version")
		return
	}
	answer(w, map[string]any{"id": ids[n-1], "version": n, "schema": r.schemas[ids[n-1]-1]})
}

func (r *registry) level(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	level, ok := r.levels[req.PathValue("subject")]
	if !ok {
		refuse(w, 404, 40408, "no level of its own")
		return
	}
	answer(w, map[string]string{"compatibilityLevel": level})
}

// breakWith lets fault answer in place of the registry; nil ends the fault.
func (r *registry) breakWith(fault func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fault
}

func (r *registry) latest(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := r.versions[req.PathValue("subject")]
	if len(ids) == 0 {
		refuse(w, 404, 40401, "no such subject")
		return
	}
	id := ids[len(ids)-1]
	answer(w, map[string]any{"id": id, "version": len(ids), "schema": r.schemas[id-1]})
}

func (r *registry) subjects(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := []string{}
	for name := range r.versions {
		names = append(names, name)
	}
	answer(w, names)
}

func (r *registry) byID(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var id int
	if _, err := fmt.Sscan(req.PathValue("id"), &id); err != nil || id < 1 || id > len(r.schemas) {
		refuse(w, 404, 40403, "no such schema")
		return
	}
	text := r.schemas[id-1]
	if strings.HasPrefix(text, "syntax") {
		answer(w, map[string]any{"schema": text, "schemaType": "PROTOBUF"})
		return
	}
	answer(w, map[string]any{"schema": text})
}

func (r *registry) config(w http.ResponseWriter, req *http.Request) {
	var body struct{ Compatibility string }
	if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
		refuse(w, 400, 400, err.Error())
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.levels[req.PathValue("subject")] = body.Compatibility
	answer(w, body)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	_ = json.NewEncoder(w).Encode(v) // the client notices a truncated response
}

func refuse(w http.ResponseWriter, status, code int, message string) {
	w.WriteHeader(status)
	answer(w, map[string]any{"error_code": code, "message": message})
}

// typeWith returns the catalogue's entry of an event with another schema.
func typeWith(name, text string) event.Type {
	t, ok := sample.Catalogue().Lookup(name)
	if !ok {
		panic(name)
	}
	t.Schema = text
	return t
}
