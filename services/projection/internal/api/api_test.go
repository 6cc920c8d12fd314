package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/projection/internal/api"
	"eventshop.example/services/projection/internal/app"
)

// shop is the read side's HTTP edge over a database of the test's own.
type shop struct {
	t    *testing.T
	pool *pgxpool.Pool
	app  *app.App
	http http.Handler
}

func newShop(t *testing.T) *shop {
	t.Helper()
	t.Parallel()
	own := postgres.Component{Name: "projection", FS: os.DirFS("../../migrations")}
	s := &shop{t: t, pool: pgtest.NewDB(t, outbox.Component(), inbox.Component(), own)}
	s.app = app.New(s.pool)
	spec, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if s.http, err = api.NewHandler(spec, s.app, prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	return s
}

func hear[T events.Event](s *shop, handle func(context.Context, pgx.Tx, consumer.Event[T]) error, version int64, data T) uuid.UUID {
	s.t.Helper()
	typ := events.TypeOf[T]()
	e := consumer.Event[T]{Data: data, Topic: typ.Topic}
	e.ID, e.Type, e.AggregateVersion = uuid.Must(uuid.NewV7()), typ.Name, version
	err := postgres.InTx(s.t.Context(), s.pool, func(tx pgx.Tx) error { return handle(s.t.Context(), tx, e) })
	if err != nil {
		s.t.Fatal(err)
	}
	return e.ID
}

// order has an order placed of quantity pieces at price, and gives its id.
func (s *shop) order(customer, currency string, quantity int32, price int64) string {
	s.t.Helper()
	id := uuid.Must(uuid.NewV7()).String()
	hear(s, s.app.OnOrderCreated, 1, events.OrderCreated{
		OrderID: id, Customer: events.Customer{ID: customer, Name: "Ada", Email: "ada@example.com"},
		ShippingAddress: events.Address{Street: "1 Test St", City: "London", PostalCode: "N1", Country: "GB"},
		Items:           []events.OrderItem{{SKU: "WIDGET", Quantity: quantity, UnitPrice: price}},
		TotalAmount:     int64(quantity) * price, Currency: currency, OccurredAt: noon,
	})
	return id
}

// get asks and decodes the answer into v, numbers as they are written.
func (s *shop) get(path string, status int, v any) {
	s.t.Helper()
	res := httptest.NewRecorder()
	s.http.ServeHTTP(res, httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, path, nil))
	if res.Code != status {
		s.t.Fatalf("GET %s: %d, want %d: %s", path, res.Code, status, res.Body)
	}
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		s.t.Fatalf("GET %s: %v", path, err)
	}
}

// ids lists the orders of one page.
func (s *shop) ids(path string) []string {
	s.t.Helper()
	var page api.OrderPage
	s.get(path, http.StatusOK, &page)
	out := []string{}
	for _, o := range page.Orders {
		out = append(out, o.OrderId.String())
	}
	return out
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestFilters(t *testing.T) {
	s := newShop(t)
	a1, b1 := s.order("a", "GBP", 1, 100), s.order("b", "GBP", 1, 100)
	a2, b2 := s.order("a", "GBP", 1, 100), s.order("b", "GBP", 1, 100)
	for _, id := range []string{a1, b2} {
		hear(s, s.app.OnOrderConfirmed, 2, events.OrderConfirmed{OrderID: id, TrackingID: "T", OccurredAt: noon})
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
		"/orders?cursor=" + b1:                  {a1},
		"/orders?status=PENDING&cursor=" + b2:   {a2, b1},
		"/customers/a/orders?cursor=" + a1:      {},
		"/orders?customerId=a&cursor=" + b1:     {a1},
		"/orders?customerId=%F0%9F%8E%84%20%25": {},
	} {
		if diff := cmp.Diff(want, s.ids(path)); diff != "" {
			t.Errorf("GET %s (-want +got):\n%s", path, diff)
		}
	}
}

// TestPagesTogetherAreAllRows walks every list with every page size: no order
// twice, none left out, newest first, and a cursor only where more follows.
func TestPagesTogetherAreAllRows(t *testing.T) {
	s := newShop(t)
	var all, ofA []string
	for i := range 7 {
		id := s.order([]string{"a", "b"}[i%2], "GBP", 1, 100)
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
				s.get(fmt.Sprintf("%slimit=%d%s", path, limit, next), http.StatusOK, &page)
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
				next = "&cursor=" + url.QueryEscape(page.NextCursor.String())
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

// TestAmountsHaveTheCurrencysDigits compares the JSON text, where a float would show.
func TestAmountsHaveTheCurrencysDigits(t *testing.T) {
	s := newShop(t)
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
		id := s.order("c", c.currency, 3, c.price)
		var details struct {
			TotalAmount json.RawMessage
			Items       []struct{ UnitPrice json.RawMessage }
		}
		s.get("/orders/"+id, http.StatusOK, &details)
		if got := string(details.TotalAmount); got != c.total {
			t.Errorf("%s total %s, want %s", c.currency, got, c.total)
		}
		if got := string(details.Items[0].UnitPrice); got != c.unit {
			t.Errorf("%s unit price %s, want %s", c.currency, got, c.unit)
		}
		var page struct {
			Orders []struct{ TotalAmount json.RawMessage }
		}
		s.get("/orders?limit=1", http.StatusOK, &page)
		if got := string(page.Orders[0].TotalAmount); got != c.total {
			t.Errorf("%s total in the list %s, want %s", c.currency, got, c.total)
		}
	}
}

func TestOrderWithItsTimeline(t *testing.T) {
	s := newShop(t)
	id := s.order("c-1", "GBP", 2, 1250)
	hear(s, s.app.OnPaymentCompleted, 1, events.PaymentCompleted{OrderID: id, Amount: 2500, Currency: "GBP", OccurredAt: noon.Add(time.Second)})
	rejected := hear(s, s.app.OnInventoryReservationFailed, 1, events.InventoryReservationFailed{
		OrderID: id, Reason: "out_of_stock", OccurredAt: noon.Add(2 * time.Second),
	})
	hear(s, s.app.OnPaymentRefundFailed, 2, events.PaymentRefundFailed{OrderID: id, Reason: "gateway_down", OccurredAt: noon.Add(3 * time.Second)})
	hear(s, s.app.OnPaymentRefunded, 3, events.PaymentRefunded{OrderID: id, Amount: 2500, Currency: "GBP", OccurredAt: noon.Add(4 * time.Second)})
	hear(s, s.app.OnOrderCancelled, 2, events.OrderCancelled{OrderID: id, Reason: "out_of_stock", OccurredAt: noon.Add(5 * time.Second)})

	var d api.OrderDetails
	s.get("/orders/"+id, http.StatusOK, &d)
	if d.Status != "CANCELLED" || d.CancelReason == nil || *d.CancelReason != "out_of_stock" || d.NeedsAttention || d.TrackingId != nil {
		t.Errorf("order %+v", d)
	}
	if want := (api.Customer{Id: "c-1", Name: "Ada", Email: "ada@example.com"}); d.Customer != want || d.CustomerId != "c-1" {
		t.Errorf("customer %+v", d.Customer)
	}
	if want := (api.Address{Street: "1 Test St", City: "London", PostalCode: "N1", Country: "GB"}); d.ShippingAddress != want {
		t.Errorf("address %+v", d.ShippingAddress)
	}
	if !d.CreatedAt.Equal(noon) || !d.UpdatedAt.Equal(noon.Add(5*time.Second)) {
		t.Errorf("created %s, updated %s", d.CreatedAt, d.UpdatedAt)
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
	if e := d.Timeline[2]; e.EventId != rejected || e.Detail == nil || *e.Detail != "out_of_stock" {
		t.Errorf("entry %+v", e)
	}
}
