package operator_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"eventshop.example/pkg/service"
)

// TestProfiles: the operators' listener serves the profiles, even while the database is not
// prepared.
func TestProfiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.prepared = false
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, func(ctx context.Context) error { return service.ServeOn(ctx, "operator", listener, f.handler) })
	url := "http://" + listener.Addr().String()
	for path, says := range map[string]string{
		"/debug/pprof/":                  "goroutine",
		"/debug/pprof/goroutine?debug=1": "goroutine profile: total",
		"/debug/pprof/heap":              "",
		"/debug/pprof/cmdline":           "operator.test",
		"/debug/pprof/symbol":            "num_symbols",
		"/debug/pprof/trace?seconds=0.1": "",
	} {
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || len(text) == 0 || !strings.Contains(string(text), says) {
			t.Errorf("GET %s: %s, %v, %d bytes, want %q", path, res.Status, err, len(text), says)
		}
	}
	res, err := http.Post(url+"/debug/pprof/heap", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode < 400 {
		t.Errorf("POST: %s", res.Status)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
