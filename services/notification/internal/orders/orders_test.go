package orders_test

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
	"eventshop.example/services/notification/internal/orders"
	"eventshop.example/services/notification/internal/orders/orderstest"
	"eventshop.example/services/notification/notification"
)

func newBreaker(failures int) *breaker.Breaker {
	return breaker.New(breaker.Config{Name: "order", Failures: failures, OpenFor: time.Hour, Logger: slog.New(slog.DiscardHandler)})
}

func TestGet(t *testing.T) {
	t.Parallel()
	s := orderstest.Start(t)
	s.Put("o1", `{"orderId":"o1","version":3,"status":"PENDING","customer":{"id":"cust-7","name":"Ada","email":"ada@example.com"},
		"items":[{"sku":"WIDGET-01","quantity":2,"unitPrice":29.90}],"totalAmount":59.80,"currency":"GBP","new":true}`)
	got, err := orders.New(s.URL+"/", time.Minute, newBreaker(5)).Get(t.Context(), "o1")
	if err != nil {
		t.Fatal(err)
	}
	want := notification.Order{
		ID: "o1", CustomerID: "cust-7", Name: "Ada", Email: "ada@example.com", Total: "59.80", Currency: "GBP",
		Items: []notification.Item{{SKU: "WIDGET-01", Quantity: 2, UnitPrice: "29.90"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// TestKinds: what does not come from this order's state makes the partition wait, and all else is the
// record's.
func TestKinds(t *testing.T) {
	t.Parallel()
	s := orderstest.Start(t)
	s.Put("other", `{"orderId":"o1"}`)
	s.Put("text", `good day`)
	c := orders.New(s.URL, time.Minute, newBreaker(1000))
	want := func(id string, kind errs.Kind) {
		t.Helper()
		if _, err := c.Get(t.Context(), id); err == nil || errs.KindOf(err) != kind {
			t.Errorf("%s: %v is %s, want %s", id, err, errs.KindOf(err), kind)
		}
	}
	want("unknown", errs.NotFound)
	want("other", errs.Internal)
	want("text", errs.Internal)
	for status, kind := range map[int]errs.Kind{
		500: errs.Transient, 503: errs.Transient, 401: errs.Transient, 403: errs.Transient, 408: errs.Transient, 429: errs.Transient,
		400: errs.Internal, 301: errs.Internal,
	} {
		s.Answer(status)
		want("o1", kind)
	}
	s.Answer(0)
	s.Down(true)
	want("o1", errs.Transient)
}

// TestSlow: an answer that does not come within the timeout, or not completely, is no answer.
func TestSlow(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/orders/half" {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"orderId":`))
			return
		}
		<-release
	}))
	defer server.Close()
	defer close(release)
	for id, timeout := range map[string]time.Duration{"slow": 50 * time.Millisecond, "half": time.Minute} {
		if _, err := orders.New(server.URL, timeout, newBreaker(5)).Get(t.Context(), id); errs.KindOf(err) != errs.Transient {
			t.Errorf("%s: %v is %s", id, err, errs.KindOf(err))
		}
	}
}

// TestBreaker: a service that is away is left alone, and the error says for how long.
func TestBreaker(t *testing.T) {
	t.Parallel()
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere.Close()
	c := orders.New("http://"+nowhere.Addr().String(), time.Minute, newBreaker(2))
	for range 2 {
		if _, err := c.Get(t.Context(), "o1"); err == nil {
			t.Fatal("answered")
		} else if _, refused := errs.RetryAfter(err); refused {
			t.Fatalf("refused early: %v", err)
		}
	}
	_, err = c.Get(t.Context(), "o1")
	if wait, refused := errs.RetryAfter(err); !refused || wait < 50*time.Minute || errs.KindOf(err) != errs.Transient {
		t.Errorf("%v, wait %s", err, wait)
	}
}
