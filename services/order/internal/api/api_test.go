package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/services/order/internal/app"
)

func TestPlaceAndGet(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.do("POST", "/orders", cart)
	if a.Status != http.StatusCreated || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	id := a.Body["orderId"].(string)
	if got := a.Header.Get("Location"); got != "/orders/"+id {
		t.Errorf("Location %q", got)
	}
	want := map[string]any{
		"orderId": id, "version": json.Number("3"), "status": "PENDING", "needsAttention": false,
		"customer":        map[string]any{"id": "cust-7", "name": "Ada Lovelace", "email": "ada@example.com"},
		"shippingAddress": map[string]any{"street": "123 Babbage Lane", "city": "London", "postalCode": "SW1A 1AA"},
		"items": []any{
			map[string]any{"sku": "WIDGET-01", "quantity": json.Number("2"), "unitPrice": json.Number("29.99")},
			map[string]any{"sku": "GADGET-05", "quantity": json.Number("1"), "unitPrice": json.Number("40.01")},
		},
		"totalAmount": json.Number("99.99"), "currency": "GBP", "saga": "choreographed",
		"placedAt": a.Body["placedAt"], "confirmBy": a.Body["confirmBy"],
	}
	if diff := cmp.Diff(want, a.Body); diff != "" {
		t.Error(diff)
	}
	if got := f.do("GET", "/orders/"+id, ""); got.Status != http.StatusOK || got.Text != a.Text {
		t.Errorf("GET answers %d otherwise than POST did: %s", got.Status, got.Text)
	}
	if got := f.do("GET", "/orders/"+strings.ToUpper(id), ""); got.Status != http.StatusOK {
		t.Errorf("the id in capitals: %d %s", got.Status, got.Text)
	}
}

// TestOverload: an order too many is refused, and leaves nothing. The repetition of an accepted order, a
// cancellation and a query are answered. When an order has left PENDING, another one is accepted.
func TestOverload(t *testing.T) {
	t.Parallel()
	f := newFixtureWith(t, app.Config{PendingTarget: time.Second, MaxPending: 1})
	first := f.do("POST", "/orders", cart, "Idempotency-Key", "k1")
	if first.Status != http.StatusCreated {
		t.Fatalf("%d %s", first.Status, first.Text)
	}
	refused := f.do("POST", "/orders", cart, "Idempotency-Key", "k2")
	if refused.Status != http.StatusServiceUnavailable || refused.Header.Get("Retry-After") != "1" || refused.Header.Get("Location") != "" ||
		refused.Body["type"] != "https://eventshop.example/problems/overloaded" {
		t.Errorf("the second order: %d %v %s", refused.Status, refused.Header, refused.Text)
	}
	if again := f.do("POST", "/orders", cart, "Idempotency-Key", "k1"); again.Status != http.StatusCreated || again.Text != first.Text {
		t.Errorf("the first order again: %d %s", again.Status, again.Text)
	}
	id := first.Body["orderId"].(string)
	if a := f.do("GET", "/orders/"+id, ""); a.Status != http.StatusOK {
		t.Errorf("query: %d %s", a.Status, a.Text)
	}
	if a := f.do("POST", "/orders/"+id+"/cancel", "", "Idempotency-Key", "k3"); a.Status != http.StatusAccepted {
		t.Errorf("cancel: %d %s", a.Status, a.Text)
	}
	kafkatest.Eventually(t, "an order to be accepted again", func() bool {
		return f.do("POST", "/orders", cart, "Idempotency-Key", "k2").Status == http.StatusCreated
	})
}

// TestAccepted: unusual but valid requests are accepted.
func TestAccepted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, swap := range map[string][]string{
		"country":           {`"postalCode": "SW1A 1AA"`, `"postalCode": "SW1A 1AA", "country": "GB"`},
		"deadline":          {`"currency": "GBP"`, `"currency": "GBP", "confirmWithinSeconds": 86400`},
		"trailing zeros":    {`"totalAmount": 99.99`, `"totalAmount": 99.9900`},
		"no decimals":       {`29.99`, `30`, `99.99`, `100.01`},
		"yen":               {`29.99`, `3000`, `40.01`, `40`, `99.99`, `6040`, `GBP`, `JPY`},
		"dinar, 3 decimals": {`29.99`, `29.999`, `99.99`, `100.008`, `GBP`, `KWD`},
		"a free item":       {`40.01`, `0`, `99.99`, `59.98`},
		"most quantity":     {`"quantity": 2`, `"quantity": 1000000`, `99.99`, `29990040.01`},
		"other letters":     {`Ada Lovelace`, `Ada Łôvelace 愛`, `London`, `Łódź`},
	} {
		if a := f.do("POST", "/orders", strings.NewReplacer(swap...).Replace(cart)); a.Status != http.StatusCreated {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	if a := f.do("POST", "/orders", cart, "Content-Type", "application/json; charset=utf-8"); a.Status != http.StatusCreated {
		t.Errorf("charset: %d %s", a.Status, a.Text)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.place()
	mustReceive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})

	a := f.do("GET", "/orders/"+id+"/events", "")
	if a.Status != http.StatusOK || a.Body["orderId"] != id {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	var got []string
	for _, e := range a.Body["events"].([]any) {
		e := e.(map[string]any)
		got = append(got, fmt.Sprintf("%s %s", e["version"], e["type"]))
		if e["recordedAt"] == "" || e["data"] == nil {
			t.Errorf("event without time or data: %v", e)
		}
	}
	if diff := cmp.Diff([]string{"1 OrderCreated", "2 ItemAdded", "3 ItemAdded", "4 OrderConfirmed"}, got); diff != "" {
		t.Error(diff)
	}
	for _, want := range []string{`"totalAmount":99.99`, `"unitPrice":29.99`, `"trackingId":"T1"`, `"name":"Ada Lovelace"`} {
		if !strings.Contains(a.Text, want) {
			t.Errorf("no %s in %s", want, a.Text)
		}
	}

	if v := f.do("GET", "/orders/"+id+"?version=3", ""); v.Status != http.StatusOK || v.Body["status"] != "PENDING" {
		t.Errorf("version 3: %d %s", v.Status, v.Text)
	}
	if v := f.do("GET", "/orders/"+id+"?version=5", ""); v.Status != http.StatusNotFound {
		t.Errorf("version 5: %d %s", v.Status, v.Text)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.place()
	for range 2 {
		a := f.do("POST", "/orders/"+id+"/cancel", `{"reason": "changed my mind"}`)
		if a.Status != http.StatusAccepted || a.Body["status"] != "CANCELLING" {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		want := map[string]any{"reason": "customer", "detail": "changed my mind"}
		if diff := cmp.Diff(want, a.Body["cancellation"]); diff != "" {
			t.Error(diff)
		}
	}
	mustReceive(f, app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
	if a := f.do("POST", "/orders/"+id+"/cancel", ""); a.Status != http.StatusOK || a.Body["status"] != "CANCELLED" {
		t.Errorf("cancelled already: %d %s", a.Status, a.Text)
	}

	declined := f.place()
	mustReceive(f, app.OnPaymentFailed, events.PaymentFailed{OrderID: declined, Reason: "insufficient_funds"})
	ended := f.do("GET", "/orders/"+declined, "")
	want := map[string]any{"reason": "payment_failed", "detail": "insufficient_funds"}
	for _, name := range []string{"cancellation", "cancelled"} { // the name of the read model, and the old one
		if diff := cmp.Diff(want, ended.Body[name]); diff != "" {
			t.Errorf("%s of an order that failed: %s", name, diff)
		}
	}

	shipped := f.place()
	mustReceive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: shipped, TrackingID: "T1"})
	a := f.do("POST", "/orders/"+shipped+"/cancel", "{}")
	if a.Status != http.StatusConflict || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("shipped: %d %s", a.Status, a.Text)
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.do("POST", "/orders", cart, "Idempotency-Key", "k1")
	again := f.do("POST", "/orders", cart, "Idempotency-Key", "k1")
	if first.Status != http.StatusCreated || again.Status != first.Status || again.Text != first.Text {
		t.Errorf("again: %d %s, want %s", again.Status, again.Text, first.Text)
	}
	if got := again.Header.Get("Location"); got != first.Header.Get("Location") || got == "" {
		t.Errorf("Location of the repetition is %q", got)
	}
	if a := f.do("POST", "/orders", strings.Replace(cart, "Ada", "Eda", 1), "Idempotency-Key", "k1"); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("same key, other body: %d %s", a.Status, a.Text)
	}
	if a := f.do("POST", "/orders", cart, "Idempotency-Key", "k1", "X-Caller-Id", "somebody else"); a.Status != http.StatusCreated || a.Text == first.Text {
		t.Errorf("same key, other caller: %d %s", a.Status, a.Text)
	}
	if n := f.count("saga_deadlines"); n != 2 {
		t.Errorf("%d orders, want 2", n)
	}

	id := first.Body["orderId"].(string)
	one := f.do("POST", "/orders/"+id+"/cancel", "", "Idempotency-Key", "k1")
	mustReceive(f, app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
	two := f.do("POST", "/orders/"+id+"/cancel", "", "Idempotency-Key", "k1")
	if one.Status != http.StatusAccepted || two.Status != one.Status || two.Text != one.Text {
		t.Errorf("cancel again: %d %s, want the first answer", two.Status, two.Text)
	}
}

// TestSameKeyAtOnce: concurrent requests with one key create one order.
func TestSameKeyAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch a := f.do("POST", "/orders", cart, "Idempotency-Key", "k1"); a.Status {
			case http.StatusCreated, http.StatusConflict:
			default:
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
	}
	all.Wait()
	if n := f.count("saga_deadlines"); n != 1 {
		t.Errorf("%d orders", n)
	}
}
