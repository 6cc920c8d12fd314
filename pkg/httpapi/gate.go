package httpapi

import (
	"net/http"

	"eventshop.example/pkg/errs"
)

// Gate answers 503 until open returns true. A service listens from the start, so that probes
// receive reasons, but its handlers need tables that may not exist yet.
func Gate(open func() bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !open() {
			WriteError(w, r, errs.New(errs.Transient, "the service is starting; its database is not prepared yet"))
			return
		}
		next.ServeHTTP(w, r)
	})
}
