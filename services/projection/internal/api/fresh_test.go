package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/fresh"
)

// ask sends a GET request and describes the answer: its status, the headers about freshness, and
// the type of a problem.
func (f *fixture) ask(path string) string {
	res := httptest.NewRecorder()
	f.http.ServeHTTP(res, httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, nil))
	var p struct{ Type string }
	if err := json.Unmarshal(res.Body.Bytes(), &p); err != nil {
		return err.Error()
	}
	s := fmt.Sprint(res.Code)
	for _, name := range []string{"Order-Version", "X-Projection-Stale", "Retry-After"} {
		if v := res.Header().Get(name); v != "" {
			s += fmt.Sprintf(" %s=%s", name, v)
		}
	}
	return strings.TrimSpace(s + " " + strings.TrimPrefix(p.Type, "https://eventshop.example/problems/"))
}

// TestReadingOnesOwnWrites: at the bound a read gets the stale view with a mark, or 503, as the
// client asks. A parked order and a read that need not wait are answered at once.
func TestReadingOnesOwnWrites(t *testing.T) {
	const none, broken = "0198d9a0-0000-7000-8000-000000000000", "0198d9a0-0000-7000-8000-000000000001"
	f := newFixtureWith(t, fresh.Config{Wait: time.Millisecond})
	f.parked = map[string]bool{broken: true}
	id := f.order("c", "GBP", 1, 100)
	receive(f, app.OnOrderConfirmed, 4, events.OrderConfirmed{OrderID: id, TrackingID: "T", OccurredAt: noon})
	receive(f, app.OnPaymentCompleted, 9, events.PaymentCompleted{OrderID: id, Amount: 100, Currency: "GBP", OccurredAt: noon}) // no version of the order
	for path, want := range map[string]string{
		"/orders/" + id:                                    "200 Order-Version=4",
		"/orders/" + id + "?minVersion=4":                  "200 Order-Version=4",
		"/orders/" + strings.ToUpper(id) + "?minVersion=2": "200 Order-Version=4",
		"/orders/" + id + "?minVersion=5":                  "503 Retry-After=1 read-model-behind",
		"/orders/" + id + "?minVersion=5&stale=refuse":     "503 Retry-After=1 read-model-behind",
		"/orders/" + id + "?minVersion=5&stale=allow":      "200 Order-Version=4 X-Projection-Stale=behind",
		"/orders/" + none:                                  "404 about:blank",
		"/orders/" + none + "?minVersion=1":                "503 Retry-After=1 read-model-behind",
		"/orders/" + none + "?minVersion=1&stale=allow":    "404 Order-Version=0 X-Projection-Stale=behind about:blank",
		"/orders/" + broken + "?minVersion=1":              "503 Retry-After=1 read-model-parked",
		"/orders/" + broken + "?minVersion=1&stale=allow":  "404 Order-Version=0 X-Projection-Stale=parked about:blank",
		"/orders":                         "200",
		"/orders?minVersion=" + id + ":4": "200 Order-Version=4",
		"/orders?minVersion=" + strings.ToUpper(id) + ":4":        "200 Order-Version=4",
		"/orders?minVersion=" + id + ":5":                         "503 Retry-After=1 read-model-behind",
		"/customers/c/orders?minVersion=" + id + ":4":             "200 Order-Version=4",
		"/customers/c/orders?stale=allow&minVersion=" + id + ":5": "200 Order-Version=4 X-Projection-Stale=behind",
	} {
		if got := f.ask(path); got != want {
			t.Errorf("GET %s: %s, want %s", path, got, want)
		}
	}
	for path, field := range map[string]string{
		"/orders/" + id + "?minVersion=0":                   "minVersion",
		"/orders/" + id + "?minVersion=" + id + ":4":        "minVersion",
		"/orders/" + id + "?minVersion=9223372036854775808": "minVersion",
		"/orders/" + id + "?minVersion=4&stale=maybe":       "stale",
		"/orders/" + id + "?stale=allow":                    "stale",
		"/orders?stale=allow":                               "stale",
		"/orders?minVersion=4":                              "minVersion",
		"/orders?minVersion=" + id:                          "minVersion",
		"/orders?minVersion=" + id + ":0":                   "minVersion",
		"/orders?minVersion=" + id + ":9999999999999999999": "minVersion",
		"/revenue?minVersion=" + id + ":4":                  "minVersion", // sums store no versions of orders
	} {
		f.refuses(path, field)
	}
}

// TestACommitEndsTheWait: a read waits until the event that it asks for is committed, whichever
// kind of read it is. It gets the view with it.
func TestACommitEndsTheWait(t *testing.T) {
	f := newFixtureWith(t, fresh.Config{Wait: time.Hour})
	id := uuid.Must(uuid.NewV7()).String()
	paths := []string{
		"/orders/" + id + "?minVersion=1", "/orders?minVersion=" + id + ":1", "/customers/c/orders?stale=allow&minVersion=" + id + ":1",
	}
	answers := make(chan string)
	for _, path := range paths {
		go func() { answers <- f.ask(path) }()
	}
	kafkatest.Eventually(t, "the reads to wait", func() bool { return f.waiting.Count() == len(paths) })
	// The last of them may be in its second look.
	kafkatest.Eventually(t, "no connection to be in use", func() bool { return f.pool.Stat().AcquiredConns() == 0 })
	receive(f, app.OnOrderCreated, 1, created(id, "c", "GBP", 1, 100))
	for range paths {
		if got := <-answers; got != "200 Order-Version=1" {
			t.Errorf("got %s", got)
		}
	}
}

// TestAnotherProcessEndsTheWait: what another process of the service commits is found, too.
func TestAnotherProcessEndsTheWait(t *testing.T) {
	f := newFixtureWith(t, fresh.Config{Wait: time.Hour})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- f.waiting.Run(ctx) }()
	id := f.order("c", "GBP", 1, 100)
	answered := make(chan string)
	go func() { answered <- f.ask("/orders/" + id + "?minVersion=2") }()
	kafkatest.Eventually(t, "the read to wait", func() bool { return f.waiting.Count() == 1 })
	other := &fixture{t: t, pool: f.pool, app: app.New(f.pool)}
	receive(other, app.OnOrderConfirmed, 2, events.OrderConfirmed{OrderID: id, TrackingID: "T", OccurredAt: noon})
	if got := <-answered; got != "200 Order-Version=2" {
		t.Errorf("got %s", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := f.ask("/orders/" + id + "?minVersion=3"); got != "503 Retry-After=1 read-model-stopping" {
		t.Errorf("while it stops: %s", got)
	}
}

// TestTooManyReadsWait: a read too many gets 503, whatever it accepts. Reads that need not wait are
// answered.
func TestTooManyReadsWait(t *testing.T) {
	f := newFixtureWith(t, fresh.Config{Wait: time.Hour, Most: 1})
	id := f.order("c", "GBP", 1, 100)
	first := make(chan string)
	go func() { first <- f.ask("/orders/" + id + "?minVersion=2") }()
	kafkatest.Eventually(t, "the first read to wait", func() bool { return f.waiting.Count() == 1 })
	for path, want := range map[string]string{
		"/orders/" + id + "?minVersion=3&stale=allow": "503 Retry-After=1 too-many-waiting-reads",
		"/orders?minVersion=" + id + ":3":             "503 Retry-After=1 too-many-waiting-reads",
		"/orders/" + id + "?minVersion=1":             "200 Order-Version=1",
		"/orders/" + id:                               "200 Order-Version=1",
	} {
		if got := f.ask(path); got != want {
			t.Errorf("GET %s: %s, want %s", path, got, want)
		}
	}
	receive(f, app.OnOrderConfirmed, 2, events.OrderConfirmed{OrderID: id, TrackingID: "T", OccurredAt: noon})
	if got := <-first; got != "200 Order-Version=2" {
		t.Errorf("the first read: %s", got)
	}
}
