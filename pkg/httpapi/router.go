package httpapi

import (
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// NewRouter returns a chi router to mount generated handlers on. Every request
// passes Correlate, Observe and Recover; those for the operations of the
// document also pass Validator. GET /openapi.json answers with the document.
// Anything else is a 404 or 405 problem.
//
//	r, err := httpapi.NewRouter(spec, reg)
//	gen.HandlerWithOptions(server, gen.ChiServerOptions{BaseRouter: r, ErrorHandlerFunc: httpapi.BadParameter})
func NewRouter(spec *openapi3.T, reg prometheus.Registerer, opts ...Option) (*chi.Mux, error) {
	validate, err := Validator(spec, opts...)
	if err != nil {
		return nil, err
	}
	observe, err := Observe(reg)
	if err != nil {
		return nil, err
	}
	serveSpec, err := ServeSpec(spec)
	if err != nil {
		return nil, err
	}
	r := chi.NewRouter()
	r.Use(Correlate, observe, Recover, func(next http.Handler) http.Handler {
		validated := validate(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && r.URL.Path == "/openapi.json" {
				next.ServeHTTP(w, r) // the one route that the document does not describe
				return
			}
			validated.ServeHTTP(w, r)
		})
	})
	r.Get("/openapi.json", serveSpec)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		WriteError(w, r, Problem{Status: http.StatusNotFound, Detail: "there is no such path"})
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		// The document contains the operation, because Validator accepted it, but no handler is
		// mounted for it.
		WriteError(w, r, Problem{Status: http.StatusNotImplemented, Detail: "the operation has no handler"})
	})
	return r, nil
}
