package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/events"
	"eventshop.example/services/projection/internal/api"
	"eventshop.example/services/projection/internal/app"
)

func TestFilters(t *testing.T) {
	f := newFixture(t)
	a1, b1 := f.order("a", "GBP", 1, 100), f.order("b", "GBP", 1, 100)
	a2, b2 := f.order("a", "GBP", 1, 100), f.order("b", "GBP", 1, 100)
	for _, id := range []string{a1, b2} {
		receive(f, app.OnOrderConfirmed, 2, events.OrderConfirmed{OrderID: id, TrackingID: "T", OccurredAt: noon})
	}
	for path, want := range map[string][]string{
		"/orders":                               {b2, a2, b1, a1},
		"/orders?status=PENDING":                {a2, b1},
		"/orders?status=CONFIRMED":              {b2, a1},
		"/orders?status=DELIVERED":              {},
		"/orders?customerId=a":                  {a2, a1},
		"/orders?customerId=a&status=PENDING":   {a2},
		"/orders?customerId=nobody":             {},
		"/customers/b/orders":                   {b2, b1},
		"/customers/nobody/orders":              {},
		"/customers/b/orders?limit=1":           {b2},
		"/orders?limit=2":                       {b2, a2},
		"/orders?customerId=%F0%9F%8E%84%20%25": {},
	} {
		if diff := cmp.Diff(want, f.ids(path)); diff != "" {
			t.Errorf("GET %s (-want +got):\n%s", path, diff)
		}
	}
}

// TestPagesTogetherAreAllRows reads every list with every page size. No order appears twice, none
// is missing, the newest is first, and a cursor exists only when more orders follow.
func TestPagesTogetherAreAllRows(t *testing.T) {
	f := newFixture(t)
	var all, ofA []string
	for i := range 7 {
		id := f.order([]string{"a", "b"}[i%2], "GBP", 1, 100)
		all = append([]string{id}, all...)
		if i%2 == 0 {
			ofA = append([]string{id}, ofA...)
		}
	}
	for path, want := range map[string][]string{
		"/orders?":                             all,
		"/orders?status=PENDING&":              all,
		"/orders?customerId=a&":                ofA,
		"/orders?customerId=a&status=PENDING&": ofA,
		"/customers/a/orders?":                 ofA,
	} {
		for limit := 1; limit <= len(all)+1; limit++ {
			var got []string
			pages, next := 0, ""
			for {
				var page api.OrderPage
				f.get(fmt.Sprintf("%slimit=%d%s", path, limit, next), http.StatusOK, &page)
				pages++
				for _, o := range page.Orders {
					got = append(got, o.OrderId.String())
				}
				if page.NextCursor == nil {
					break
				}
				if len(page.Orders) != limit {
					t.Fatalf("%slimit=%d: a page of %d with a cursor", path, limit, len(page.Orders))
				}
				next = "&cursor=" + url.QueryEscape(*page.NextCursor)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%slimit=%d (-want +got):\n%s", path, limit, diff)
			}
			if most := (len(want) + limit - 1) / limit; pages != most {
				t.Errorf("%slimit=%d: %d pages, want %d", path, limit, pages, most)
			}
		}
	}
}

// TestAmountsHaveTheCurrencysDigits compares the JSON text, which would reveal a float.
func TestAmountsHaveTheCurrencysDigits(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		currency    string
		price       int64
		unit, total string
	}{
		{"GBP", 1, "0.01", "0.03"},
		{"GBP", 2999, "29.99", "89.97"},
		{"JPY", 499, "499", "1497"},
		{"KWD", 1005, "1.005", "3.015"},
		{"USD", 3000000000000000001, "30000000000000000.01", "90000000000000000.03"}, // beyond a float's 53 bits
	} {
		id := f.order("c", c.currency, 3, c.price)
		var details struct {
			TotalAmount json.RawMessage
			Items       []struct{ UnitPrice json.RawMessage }
		}
		f.get("/orders/"+id, http.StatusOK, &details)
		if got := string(details.TotalAmount); got != c.total {
			t.Errorf("%s total %s, want %s", c.currency, got, c.total)
		}
		if got := string(details.Items[0].UnitPrice); got != c.unit {
			t.Errorf("%s unit price %s, want %s", c.currency, got, c.unit)
		}
		var page struct {
			Orders []struct{ TotalAmount json.RawMessage }
		}
		f.get("/orders?limit=1", http.StatusOK, &page)
		if got := string(page.Orders[0].TotalAmount); got != c.total {
			t.Errorf("%s total in the list %s, want %s", c.currency, got, c.total)
		}
	}
}

func TestOrderWithItsTimeline(t *testing.T) {
	f := newFixture(t)
	id := f.order("c-1", "GBP", 2, 1250)
	receive(f, app.OnPaymentCompleted, 1, events.PaymentCompleted{OrderID: id, Amount: 2500, Currency: "GBP", OccurredAt: noon.Add(time.Second)})
	rejected := receive(f, app.OnInventoryReservationFailed, 1, events.InventoryReservationFailed{
		OrderID: id, Reason: "out_of_stock", OccurredAt: noon.Add(2 * time.Second),
	})
	receive(f, app.OnPaymentRefundFailed, 2, events.PaymentRefundFailed{OrderID: id, Reason: "gateway_down", OccurredAt: noon.Add(3 * time.Second)})
	receive(f, app.OnPaymentRefunded, 3, events.PaymentRefunded{OrderID: id, Amount: 2500, Currency: "GBP", OccurredAt: noon.Add(4 * time.Second)})
	receive(f, app.OnOrderCancelled, 2, events.OrderCancelled{OrderID: id, Reason: "out_of_stock", OccurredAt: noon.Add(5 * time.Second)})

	var d api.OrderDetails
	f.get("/orders/"+id, http.StatusOK, &d)
	if d.Status != "CANCELLED" || d.Cancellation == nil || d.Cancellation.Reason != "out_of_stock" || d.NeedsAttention || d.TrackingId != nil {
		t.Errorf("order %+v", d)
	}
	if want := (api.Customer{Id: "c-1", Name: "Ada", Email: "ada@example.com"}); d.Customer != want || d.CustomerId != "c-1" {
		t.Errorf("customer %+v", d.Customer)
	}
	if want := (api.Address{Street: "1 Test St", City: "London", PostalCode: "N1", Country: "GB"}); d.ShippingAddress != want {
		t.Errorf("address %+v", d.ShippingAddress)
	}
	if !d.PlacedAt.Equal(noon) || !d.UpdatedAt.Equal(noon.Add(5*time.Second)) {
		t.Errorf("created %s, updated %s", d.PlacedAt, d.UpdatedAt)
	}
	var got []string
	for _, e := range d.Timeline {
		got = append(got, fmt.Sprintf("%s %s %d %v", e.Service, e.Type, e.Version, e.OccurredAt.Sub(noon)))
	}
	want := []string{
		"order OrderCreated 1 0s", "payment PaymentCompleted 1 1s", "inventory InventoryReservationFailed 1 2s",
		"payment PaymentRefundFailed 2 3s", "payment PaymentRefunded 3 4s", "order OrderCancelled 2 5s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("timeline (-want +got):\n%s", diff)
	}
	if d.Saga == nil || *d.Saga != "choreographed" {
		t.Errorf("saga %v", d.Saga)
	}
	if e := d.Timeline[2]; e.EventId != rejected || e.Detail == nil || *e.Detail != "out_of_stock" {
		t.Errorf("entry %+v", e)
	}
}
