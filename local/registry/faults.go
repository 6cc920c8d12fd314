package registry

import (
	"net/http"
	"slices"
	"sync"
)

// Fault is an injected fault of a registry. The zero value is no fault. GET /faults returns it, PUT
// /faults replaces it, DELETE /faults removes it. It ends with the process. It does not affect GET
// /livez and /readyz.
type Fault struct {
	ReadOnly bool `json:"readOnly,omitempty"` // writes fail with 422 and 42205, as in Confluent's mode READONLY
	NoPosts  bool `json:"noPosts,omitempty"`  // everything but GET fails with 403, as behind a read-only proxy
	Denies   bool `json:"denies,omitempty"`   // every schema id is unknown: 404 and 40403
	Hangs    bool `json:"hangs,omitempty"`    // requests are accepted and not answered before the client ends them
}

// breakable is a Fault that can change.
type breakable struct {
	mu    sync.Mutex
	fault Fault
	over  chan struct{} // closed when a hanging fault is replaced
}

func (b *breakable) now() (Fault, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fault, b.over
}

func (b *breakable) set(f Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over != nil {
		close(b.over)
	}
	b.fault, b.over = f, make(chan struct{})
}

// endpoint is /faults.
func (b *breakable) endpoint() endpoint {
	return endpoint{
		"GET": func(*http.Request) (any, error) {
			f, _ := b.now()
			return f, nil
		},
		"PUT": func(req *http.Request) (any, error) {
			var f Fault
			if err := readBody(req, &f); err != nil {
				return nil, err
			}
			b.set(f)
			return f, nil
		},
		"DELETE": func(*http.Request) (any, error) {
			b.set(Fault{})
			return Fault{}, nil
		},
	}
}

// spoils returns the error that the fault causes for a request, or nil.
func (b *breakable) spoils(req *http.Request, path []string) error {
	if slices.Contains([]string{"", "livez", "readyz", "faults"}, path[0]) {
		return nil
	}
	f, over := b.now()
	if f.Hangs {
		select {
		case <-req.Context().Done():
			return refuse(http.StatusServiceUnavailable, "The client has gone")
		case <-over:
			f, _ = b.now()
		}
	}
	_, _, lookUp := splitSubject(path[1:])
	lookUp = path[0] == "subjects" && req.Method == http.MethodPost && !lookUp
	reads := req.Method == http.MethodGet || req.Method == http.MethodHead
	switch {
	case f.NoPosts && !reads:
		return refuse(http.StatusForbidden, "Writing is forbidden")
	case f.ReadOnly && !reads && !lookUp && path[0] != "compatibility":
		return refuse(codeNotPermitted, "Subject is in read-only mode")
	case f.Denies && path[0] == "schemas" && len(path) > 2:
		return schemaNotFound("with id " + path[2])
	}
	return nil
}
