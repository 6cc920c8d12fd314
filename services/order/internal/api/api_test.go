package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/events"
)

func TestPlaceAndGet(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	a := k.do("POST", "/orders", cart)
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
		"totalAmount": json.Number("99.99"), "currency": "GBP",
		"placedAt": a.Body["placedAt"], "confirmBy": a.Body["confirmBy"],
	}
	if diff := cmp.Diff(want, a.Body); diff != "" {
		t.Error(diff)
	}
	if got := k.do("GET", "/orders/"+id, ""); got.Status != http.StatusOK || got.Text != a.Text {
		t.Errorf("GET answers %d otherwise than POST did: %s", got.Status, got.Text)
	}
	if got := k.do("GET", "/orders/"+strings.ToUpper(id), ""); got.Status != http.StatusOK {
		t.Errorf("the id in capitals: %d %s", got.Status, got.Text)
	}
}

// TestAccepted: unusual and right.
func TestAccepted(t *testing.T) {
	t.Parallel()
	k := newKit(t)
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
		if a := k.do("POST", "/orders", strings.NewReplacer(swap...).Replace(cart)); a.Status != http.StatusCreated {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	if a := k.do("POST", "/orders", cart, "Content-Type", "application/json; charset=utf-8"); a.Status != http.StatusCreated {
		t.Errorf("charset: %d %s", a.Status, a.Text)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.place()
	tell(k, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})

	a := k.do("GET", "/orders/"+id+"/events", "")
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

	if v := k.do("GET", "/orders/"+id+"?version=3", ""); v.Status != http.StatusOK || v.Body["status"] != "PENDING" {
		t.Errorf("version 3: %d %s", v.Status, v.Text)
	}
	if v := k.do("GET", "/orders/"+id+"?version=5", ""); v.Status != http.StatusNotFound {
		t.Errorf("version 5: %d %s", v.Status, v.Text)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.place()
	for range 2 {
		a := k.do("POST", "/orders/"+id+"/cancel", `{"reason": "changed my mind"}`)
		if a.Status != http.StatusAccepted || a.Body["status"] != "CANCELLING" {
			t.Fatalf("%d %s", a.Status, a.Text)
		}
		want := map[string]any{"reason": "customer", "detail": "changed my mind"}
		if diff := cmp.Diff(want, a.Body["cancellation"]); diff != "" {
			t.Error(diff)
		}
	}
	tell(k, k.app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
	if a := k.do("POST", "/orders/"+id+"/cancel", ""); a.Status != http.StatusOK || a.Body["status"] != "CANCELLED" {
		t.Errorf("cancelled already: %d %s", a.Status, a.Text)
	}

	shipped := k.place()
	tell(k, k.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: shipped, TrackingID: "T1"})
	a := k.do("POST", "/orders/"+shipped+"/cancel", "{}")
	if a.Status != http.StatusConflict || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("shipped: %d %s", a.Status, a.Text)
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	first := k.do("POST", "/orders", cart, "Idempotency-Key", "k1")
	again := k.do("POST", "/orders", cart, "Idempotency-Key", "k1")
	if first.Status != http.StatusCreated || again.Status != first.Status || again.Text != first.Text {
		t.Errorf("again: %d %s, want %s", again.Status, again.Text, first.Text)
	}
	if got := again.Header.Get("Location"); got != first.Header.Get("Location") || got == "" {
		t.Errorf("Location of the repetition is %q", got)
	}
	if a := k.do("POST", "/orders", strings.Replace(cart, "Ada", "Eda", 1), "Idempotency-Key", "k1"); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("same key, other body: %d %s", a.Status, a.Text)
	}
	if a := k.do("POST", "/orders", cart, "Idempotency-Key", "k1", "X-Caller-Id", "somebody else"); a.Status != http.StatusCreated || a.Text == first.Text {
		t.Errorf("same key, other caller: %d %s", a.Status, a.Text)
	}
	if n := k.count("saga_deadlines"); n != 2 {
		t.Errorf("%d orders, want 2", n)
	}

	id := first.Body["orderId"].(string)
	one := k.do("POST", "/orders/"+id+"/cancel", "", "Idempotency-Key", "k1")
	tell(k, k.app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
	two := k.do("POST", "/orders/"+id+"/cancel", "", "Idempotency-Key", "k1")
	if one.Status != http.StatusAccepted || two.Status != one.Status || two.Text != one.Text {
		t.Errorf("cancel again: %d %s, want the first answer", two.Status, two.Text)
	}
}

// TestSameKeyAtOnce: one order, whoever asks how often.
func TestSameKeyAtOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch a := k.do("POST", "/orders", cart, "Idempotency-Key", "k1"); a.Status {
			case http.StatusCreated, http.StatusConflict:
			default:
				t.Errorf("%d %s", a.Status, a.Text)
			}
		})
	}
	all.Wait()
	if n := k.count("saga_deadlines"); n != 1 {
		t.Errorf("%d orders", n)
	}
}
