package service

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// checkTimeout bounds one readiness check. It is below the second or more that probes usually wait,
// so that the answer names the check that hangs.
const checkTimeout = 900 * time.Millisecond

// Health is the list of checks that must pass for the process to be ready. The zero value is ready
// to use. Checks may be added at any time.
type Health struct {
	mu     sync.Mutex
	checks []check
}

type check struct {
	name string
	run  func(ctx context.Context) error
}

// Add adds a readiness check. The check returns nil or the reason why the service cannot do its
// work, within 900 ms, and may be called concurrently.
func (h *Health) Add(name string, run func(ctx context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, check{name, run})
}

// Report is the answer of /readyz.
type Report struct {
	Status string            `json:"status"` // "ready" or "not ready"
	Checks map[string]string `json:"checks"` // name → "ok" or the reason
}

// Ready reports whether all checks passed.
func (r Report) Ready() bool { return r.Status == "ready" }

// Check runs all checks at once and reports on each. A check that panics or takes too long has
// failed.
func (h *Health) Check(ctx context.Context) Report {
	h.mu.Lock()
	checks := append([]check(nil), h.checks...)
	h.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	results := make([]chan string, len(checks))
	for i, c := range checks {
		results[i] = make(chan string, 1)
		go func() {
			if err := call(ctx, c.run); err != nil {
				results[i] <- reasonOf(err)
				return
			}
			results[i] <- "ok"
		}()
	}
	report := Report{Status: "ready", Checks: map[string]string{}}
	for i, c := range checks {
		var result string
		select {
		case result = <-results[i]:
		case <-ctx.Done():
			select {
			case result = <-results[i]: // it returned a reason at the last moment
			default:
				result = fmt.Sprintf("no answer within %s", checkTimeout)
			}
		}
		report.Checks[c.name] = result
		if result != "ok" {
			report.Status = "not ready"
		}
	}
	return report
}

// maxReason bounds a reason in bytes: people read /readyz and probes store it.
const maxReason = 500

// reasonOf returns an error's text on one line, cut when it is too long.
func reasonOf(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + " …"
	}
	return text
}

// Operations serves the paths that operators need:
//
//	GET /livez    200 while the process can answer at all
//	GET /readyz   Report as JSON; 200 when ready, else 503
//	GET /metrics  the registry in Prometheus format
func Operations(h *Health, reg *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		report := h.Check(r.Context())
		status := http.StatusOK
		if !report.Ready() {
			status = http.StatusServiceUnavailable
		}
		answer(w, status, report)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg}))
	return mux
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) //nolint:errcheck // maps of strings: it fails only when the client has gone
}
