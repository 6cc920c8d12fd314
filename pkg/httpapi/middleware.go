package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/telemetry"
)

// Names of the headers that connect requests, records and messages.
const (
	HeaderCorrelation = "X-Correlation-Id"
	HeaderTraceParent = "Traceparent"
	HeaderTraceState  = "Tracestate"
)

// maxToken bounds ids that callers choose: correlation ids, idempotency keys,
// caller ids.
const maxToken = 255

// validToken reports whether s is 1 to 255 characters of printable ASCII without spaces at its
// ends, which a proxy would remove.
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

// Correlate puts the caller's X-Correlation-Id and traceparent into the context (see package
// telemetry) and into the response. It creates a missing or invalid one. A correlation id is a
// UUIDv7. A valid traceparent continues as a child of the same trace. Two traceparents count as
// none, as W3C Trace Context requires; several tracestates are one list.
func Correlate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		correlation := r.Header.Get(HeaderCorrelation)
		if !validToken(correlation) {
			correlation = uuid.Must(uuid.NewV7()).String() // fails only without randomness
		}
		given := ""
		if parents := r.Header.Values(HeaderTraceParent); len(parents) == 1 {
			given = parents[0]
		}
		ctx := telemetry.Continue(r.Context(), given, strings.Join(r.Header.Values(HeaderTraceState), ","))
		parent, _ := telemetry.Trace(ctx)
		w.Header().Set(HeaderCorrelation, correlation)
		w.Header().Set(HeaderTraceParent, parent)
		ctx = telemetry.WithSubject(telemetry.With(ctx, "", "", correlation))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

type routeKey struct{}

// setRoute sets the route, for Observe, of a request that reaches no handler.
func setRoute(r *http.Request, pattern string) {
	if p, ok := r.Context().Value(routeKey{}).(*string); ok {
		*p = pattern
	}
}

// Observe returns a middleware that logs each request once, at DEBUG, and measures it as
// http_request_duration_seconds{method, route, status}. The route is the pattern, never the path,
// so that the number of series is bounded; requests that match no pattern have the route
// "unmatched".
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
				slog.DebugContext(r.Context(), "request", "method", r.Method, "route", route,
					"path", r.URL.Path, "status", status, "bytes", ww.BytesWritten(), "durationMs", float64(took.Microseconds())/1000)
			}()
			next.ServeHTTP(ww, r)
		})
	}, nil
}

// knownMethod prevents a caller from creating a series per invented method.
func knownMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return m
	}
	return "other"
}

// Recover answers 500 when a handler panics and logs the stack once. It cuts a response that has
// begun, because its status cannot be changed any more.
func Recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
				panic(p) // net/http's own way to cut a response
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
