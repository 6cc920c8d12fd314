package service

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/telemetry"
)

func get(t *testing.T, h http.Handler, method, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, w.Body.String()
}

func TestReadinessGivesReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Health
		h.Add("database", func(context.Context) error { return nil })
		ops := Operations(&h, telemetry.NewRegistry())
		if code, body := get(t, ops, "GET", "/readyz"); code != 200 || body != `{"status":"ready","checks":{"database":"ok"}}`+"\n" {
			t.Errorf("ready: %d %s", code, body)
		}
		h.Add("schemas", func(context.Context) error { return errors.New("registry is down") })
		h.Add("broker", func(context.Context) error { panic("boom") })
		h.Add("gateway", func(ctx context.Context) error { <-ctx.Done(); return errors.New("asked in vain") })
		never := make(chan struct{})
		defer close(never)
		h.Add("carrier", func(context.Context) error { <-never; return nil })
		code, body := get(t, ops, "GET", "/readyz")
		var got Report
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if reason := got.Checks["broker"]; !strings.HasPrefix(reason, "panic: boom") {
			t.Errorf("a check that panics: %q", reason)
		}
		delete(got.Checks, "broker")
		if reason := got.Checks["gateway"]; reason != "asked in vain" && reason != "no answer within 900ms" {
			t.Errorf("a check that waits for its context: %q", reason)
		}
		delete(got.Checks, "gateway")
		want := Report{Status: "not ready", Checks: map[string]string{
			"database": "ok", "schemas": "registry is down", "carrier": "no answer within 900ms",
		}}
		if diff := cmp.Diff(want, got); diff != "" || code != http.StatusServiceUnavailable {
			t.Error(code, diff)
		}
	})
}

func TestOperations(t *testing.T) {
	var h Health
	h.Add("database", func(context.Context) error { return errors.New("down") })
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "api") })
	routes := Routes(&h, telemetry.NewRegistry(), api)
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/livez":   {200, `{"status":"alive"}`}, // alive although not ready
		"/readyz":  {503, `"database":"down"`},
		"/metrics": {200, "go_goroutines"},
		"/orders":  {200, "api"},
	} {
		if code, body := get(t, routes, "GET", path); code != want.code || !strings.Contains(body, want.text) {
			t.Errorf("%s: %d %.200s", path, code, body)
		}
	}
	if code, body := get(t, Routes(&h, telemetry.NewRegistry(), http.NotFoundHandler()), "GET", "/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("profiles beside an API: %d %.200s", code, body)
	}
	if code, _ := get(t, routes, "POST", "/livez"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST /livez: %d", code)
	}
}

func TestServe(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	server, addr, err := Serve("http", "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-leave
		io.WriteString(w, "finished")
	}))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Serve("second", addr.String(), http.NotFoundHandler())
	if err == nil || !strings.Contains(err.Error(), "second: cannot listen on "+addr.String()) {
		t.Errorf("error %v of a taken port, want one that names it", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	answer := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + addr.String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		answer <- string(body)
	}()
	<-entered
	cancel() // while a request is in progress
	close(leave)
	if got := <-answer; got != "finished" {
		t.Errorf("the request in flight got %q", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("a graceful stop: %v", err)
	}
	if _, err := http.Get("http://" + addr.String()); err == nil {
		t.Error("it still answers")
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	server, addr, err := Serve("http", "127.0.0.1:0", http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := server.Run(t.Context()); err == nil || !strings.Contains(err.Error(), addr.String()) {
		t.Errorf("error %v of a closed listener", err)
	}
}

// TestReasonsAreBounded: an error may carry a query or a stack; /readyz shows one short line.
func TestReasonsAreBounded(t *testing.T) {
	var h Health
	h.Add("database", func(context.Context) error { return errors.New("refused:\n\t" + strings.Repeat("ä", 5000)) })
	reason := h.Check(t.Context()).Checks["database"]
	if len(reason) > maxReason+len(" …") || !strings.HasPrefix(reason, "refused: ä") || !strings.HasSuffix(reason, "ä …") {
		t.Errorf("%d bytes: %.40q…", len(reason), reason)
	}
}
