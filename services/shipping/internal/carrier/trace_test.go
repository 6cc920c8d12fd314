package carrier_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/carrier/carriertest"
)

// TestRequestsCarryTheTraceOfTheirStep: a request has the traceparent of its context. The poll of
// the feed serves no step, so its request has no such header.
func TestRequestsCarryTheTraceOfTheirStep(t *testing.T) {
	t.Parallel()
	const step = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	target, err := url.Parse(carriertest.Start(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 3)
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Traceparent")
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c := carrier.New(server.URL, 10*time.Second, patient())
	ctx := telemetry.WithTrace(context.Background(), step, "")
	if _, err := c.Schedule(ctx, "k1", request); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Cancel(ctx, "k1", "o1", "c1"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Updates(context.Background(), 0, 10); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{step, step, ""}, []string{<-got, <-got, <-got}); diff != "" {
		t.Errorf("traces (-want +got):\n%s", diff)
	}
}
