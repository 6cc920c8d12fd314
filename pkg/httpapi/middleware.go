package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/telemetry"
)

// Names of the headers that tie requests, records and messages together.
const (
	HeaderCorrelation = "X-Correlation-Id"
	HeaderTraceParent = "Traceparent"
	HeaderTraceState  = "Tracestate"
)

// maxToken bounds ids that callers choose: correlation ids, idempotency keys,
// caller ids.
const maxToken = 255

// validToken tells whether s is 1 to 255 characters of printable ASCII without
// spaces at its ends, which a proxy would lose.
func validToken(s string) bool {
	if s == "" || len(s) > maxToken || s[0] == ' ' || s[len(s)-1] == ' ' {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Correlate puts the caller's X-Correlation-Id and traceparent into the context
// (see package telemetry) and into the answer. It creates what is missing or
// not valid: a correlation id is a UUIDv7; a traceparent that was given goes on
// as a child of the same trace.
func Correlate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		correlation := r.Header.Get(HeaderCorrelation)
		if !validToken(correlation) {
			correlation = uuid.Must(uuid.NewV7()).String() // fails only without randomness
		}
		given := r.Header.Get(HeaderTraceParent)
		state := ""
		if telemetry.ValidTraceParent(given) {
			state = r.Header.Get(HeaderTraceState)
		}
		parent := telemetry.ChildTraceParent(given)
		w.Header().Set(HeaderCorrelation, correlation)
		w.Header().Set(HeaderTraceParent, parent)
		ctx := telemetry.With(r.Context(), "", "", correlation)
		next.ServeHTTP(w, r.WithContext(telemetry.WithTrace(ctx, parent, state)))
	})
}

type routeKey struct{}

// setRoute tells Observe which route a request took that no handler will see.
func setRoute(r *http.Request, pattern string) {
	if p, ok := r.Context().Value(routeKey{}).(*string); ok {
		*p = pattern
	}
}

// Observe returns a middleware that logs each request once and measures it as
// http_request_duration_seconds{method, route, status}. The route is the
// pattern, never the path, so that the number of series is bounded; requests
// that match none have the route "unmatched".
func Observe(reg prometheus.Registerer) (func(http.Handler) http.Handler, error) {
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds",
		Help: "Time from the request's headers read to the answer written.",
		// From a lookup by key to the write timeout.
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
	}, []string{"method", "route", "status"})
	if err := reg.Register(duration); err != nil {
		return nil, fmt.Errorf("register the HTTP metrics: %w", err)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begin := time.Now()
			var route string
			r = r.WithContext(context.WithValue(r.Context(), routeKey{}, &route))
			ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			defer func() {
				if rctx := chi.RouteContext(r.Context()); route == "" && rctx != nil {
					route = rctx.RoutePattern()
				}
				if route == "" || route == "/*" {
					route = "unmatched"
				}
				status := ww.Status()
				if status == 0 {
					status = http.StatusOK // a handler that writes nothing answers 200
				}
				took := time.Since(begin)
				duration.WithLabelValues(knownMethod(r.Method), route, strconv.Itoa(status)).Observe(took.Seconds())
				slog.InfoContext(r.Context(), "request", "method", r.Method, "route", route,
					"path", r.URL.Path, "status", status, "bytes", ww.BytesWritten(), "duration_ms", float64(took.Microseconds())/1000)
			}()
			next.ServeHTTP(ww, r)
		})
	}, nil
}

// knownMethod keeps a caller from making a series per invented method.
func knownMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return m
	}
	return "other"
}

// Recover answers 500 when a handler panics and logs the stack once. An answer
// that had begun is cut, since its status can no longer be changed.
func Recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p) // net/http's own way to cut an answer
			}
			slog.ErrorContext(r.Context(), "handler panicked", "panic", fmt.Sprint(p),
				"method", r.Method, "path", r.URL.Path, "stack", string(debug.Stack()))
			if ww.Status() != 0 {
				panic(http.ErrAbortHandler)
			}
			writeProblem(ww, r, Problem{Status: http.StatusInternalServerError, Detail: "the server failed; the log has the reason"})
		}()
		next.ServeHTTP(ww, r)
	})
}
