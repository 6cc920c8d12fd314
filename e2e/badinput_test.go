package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// good is a valid order. Each case below makes one part of it invalid.
const good = `{"customer":{"id":"cust-7","name":"Ada Lovelace","email":"ada@example.com"},` +
	`"shippingAddress":{"street":"123 Babbage Lane","city":"London","postalCode":"SW1A 1AA"},` +
	`"items":[{"sku":"WIDGET-01","quantity":2,"unitPrice":29.99},{"sku":"GADGET-05","quantity":1,"unitPrice":40.01}],` +
	`"totalAmount":99.99,"currency":"GBP"}`

// spoil replaces one part of the good order, which must contain it.
func spoil(t *testing.T, old, with string) string {
	t.Helper()
	if strings.Count(good, old) == 0 {
		t.Fatalf("%q is no part of the good order", old)
	}
	return strings.Replace(good, old, with, 1)
}

// TestBadInputNamesTheField sends invalid input to every POST and malformed ids to every GET. The
// answer is a problem document that names the field, never a 5xx, and nothing is written.
func TestBadInputNamesTheField(t *testing.T) {
	s := shared(t)
	orders := s.URL["order"] + "/orders"
	before := s.countOrders(t)

	for _, c := range []struct {
		name, body string
		status     []int
		field      string // must be named, in errors or detail
	}{
		{"quantity 0", spoil(t, `"quantity":2`, `"quantity":0`), []int{422}, "items[0].quantity"},
		{"quantity -1", spoil(t, `"quantity":2`, `"quantity":-1`), []int{422}, "items[0].quantity"},
		{"quantity overflows 32 bits", spoil(t, `"quantity":2`, `"quantity":4294967298`), []int{422}, "items[0].quantity"},
		{"quantity overflows 64 bits", spoil(t, `"quantity":2`, `"quantity":18446744073709551618`), []int{422}, "items[0].quantity"},
		{"quantity is absurd", spoil(t, `"quantity":2`, `"quantity":1e400`), []int{400, 422}, "items[0].quantity"},
		{"quantity is a fraction", spoil(t, `"quantity":2`, `"quantity":1.5`), []int{422}, "items[0].quantity"},
		{"quantity is text", spoil(t, `"quantity":2`, `"quantity":"2"`), []int{422}, "items[0].quantity"},
		{"unknown currency", spoil(t, `GBP`, `XYQ`), []int{422}, "currency"},
		{"currency in small letters", spoil(t, `GBP`, `gbp`), []int{422}, "currency"},
		{"more decimals than pence", spoil(t, `29.99`, `29.999`), []int{422}, "items[0].unitPrice"},
		{"decimals in yen", strings.Replace(good, "GBP", "JPY", 1), []int{422}, "items[0].unitPrice"},
		{"negative price", spoil(t, `29.99`, `-29.99`), []int{422}, "items[0].unitPrice"},
		{"price overflows", spoil(t, `29.99`, `99999999999999999999.99`), []int{422}, "items[0].unitPrice"},
		{"total does not add up", spoil(t, `99.99,"currency"`, `99.98,"currency"`), []int{422}, "totalAmount"},
		{"total missing", spoil(t, `"totalAmount":99.99,`, ``), []int{422}, "totalAmount"},
		{"customer missing", spoil(t, `"customer":{"id":"cust-7","name":"Ada Lovelace","email":"ada@example.com"},`, ``), []int{422}, "customer"},
		{"no items", `{"customer":{"id":"cust-7","name":"Ada","email":"ada@example.com"},"shippingAddress":{"street":"a","city":"b","postalCode":"c"},"items":[],"totalAmount":0,"currency":"GBP"}`, []int{422}, "items"},
		{"unknown field", spoil(t, `"currency":"GBP"`, `"currency":"GBP","discount":5`), []int{422}, "discount"},
		{"duplicate field", spoil(t, `"currency":"GBP"`, `"currency":"GBP","currency":"EUR"`), []int{400, 422}, "currency"},
		{"NUL in a name", spoil(t, `Ada Lovelace`, `Ada\u0000Lovelace`), []int{400, 422}, "customer.name"},
		{"invalid UTF-8", spoil(t, `Ada Lovelace`, "Ada \xff"), []int{400, 422}, ""},
		{"trailing data", good + `{}`, []int{400}, ""},
		{"cut off", good[:len(good)-5], []int{400}, ""},
		{"an array", `[` + good + `]`, []int{422, 400}, ""},
		{"empty body", ``, []int{400, 415, 422}, ""},
		{"2 MiB", spoil(t, `123 Babbage Lane`, strings.Repeat("x", 2<<20)), []int{413}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := post(t, orders, c.body, "Content-Type", "application/json")
			if !slices.Contains(c.status, a.status) {
				t.Fatalf("status %d, want one of %v\n%s", a.status, c.status, a.body)
			}
			problem(t, a, c.field)
		})
	}

	t.Run("wrong content type", func(t *testing.T) {
		a := post(t, orders, good, "Content-Type", "text/plain")
		if a.status != http.StatusUnsupportedMediaType {
			t.Fatalf("status %d, want 415\n%s", a.status, a.body)
		}
		problem(t, a, "")
	})
	for name, c := range map[string]struct {
		method, url string
		status      int
		field       string
	}{
		"malformed order id":         {http.MethodGet, orders + "/42", 400, "orderId"},
		"unknown order":              {http.MethodGet, orders + "/01890a5d-ac96-774b-bcce-b302099a8057", 404, ""},
		"malformed id to cancel":     {http.MethodPost, orders + "/42/cancel", 400, "orderId"},
		"unknown order to cancel":    {http.MethodPost, orders + "/01890a5d-ac96-774b-bcce-b302099a8057/cancel", 404, ""},
		"unknown payment":            {http.MethodGet, s.URL["payment"] + "/payments/01890a5d-ac96-774b-bcce-b302099a8057", 404, ""},
		"malformed payment id":       {http.MethodGet, s.URL["payment"] + "/payments/%27--", 400, "orderId"},
		"unknown shipment":           {http.MethodGet, s.URL["shipping"] + "/shipments/01890a5d-ac96-774b-bcce-b302099a8057", 404, ""},
		"malformed shipment id":      {http.MethodGet, s.URL["shipping"] + "/shipments/42", 400, "orderId"},
		"unknown reservation":        {http.MethodGet, s.URL["inventory"] + "/reservations/01890a5d-ac96-774b-bcce-b302099a8057", 404, ""},
		"unknown SKU":                {http.MethodGet, s.URL["inventory"] + "/stock/NO-SUCH-THING", 404, ""},
		"malformed SKU":              {http.MethodGet, s.URL["inventory"] + "/stock/%00", 400, "sku"},
		"unknown status":             {http.MethodGet, s.URL["projection"] + "/orders?status=LOST", 400, "status"},
		"limit 0":                    {http.MethodGet, s.URL["projection"] + "/orders?limit=0", 400, "limit"},
		"limit is text":              {http.MethodGet, s.URL["projection"] + "/orders?limit=many", 400, "limit"},
		"malformed cursor":           {http.MethodGet, s.URL["projection"] + "/orders?cursor=zzz", 400, "cursor"},
		"revenue from a strange day": {http.MethodGet, s.URL["projection"] + "/revenue?from=2026-13-45", 400, "from"},
		"no such route":              {http.MethodGet, s.URL["order"] + "/nothing/here", 404, ""},
		"method not allowed":         {http.MethodDelete, orders, 405, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := send(t.Context(), c.method, c.url, "")
			if err != nil {
				t.Fatal(err)
			}
			if a.status != c.status {
				t.Fatalf("status %d, want %d\n%s", a.status, c.status, a.body)
			}
			problem(t, a, c.field)
		})
	}
	for _, body := range []string{`{"quantity":0}`, `{"quantity":-5}`, `{"quantity":9223372036854775808}`, `{"quantity":"1"}`, `{}`, `{"quantity":1,"quantity":2}`} {
		t.Run("receipt "+body, func(t *testing.T) {
			a := post(t, s.URL["inventory"]+"/stock/BAD-1/receipts", body)
			if a.status != 400 && a.status != 422 {
				t.Fatalf("status %d\n%s", a.status, a.body)
			}
			problem(t, a, "quantity")
		})
	}
	if after := s.countOrders(t); after != before {
		t.Errorf("%d orders were written by bad input", after-before)
	}
	if a := get(t, s.URL["inventory"]+"/stock/BAD-1"); a.status != http.StatusNotFound {
		t.Errorf("bad receipts made stock: %s", a.body)
	}
}

// problem checks an RFC 9457 document that names the field.
func problem(t *testing.T, a answer, field string) {
	t.Helper()
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type %q\n%s", ct, a.body)
	}
	var p struct {
		Type, Title, Detail string
		Status              int
		Errors              []struct{ Field, Detail string }
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("no problem document: %v\n%s", err, a.body)
	}
	if p.Status != a.status || p.Title == "" {
		t.Errorf("status %d in the document, %d on the wire, title %q", p.Status, a.status, p.Title)
	}
	if field == "" {
		return
	}
	for _, e := range p.Errors {
		if e.Field == field {
			return
		}
	}
	t.Errorf("%s is not named in %s", field, a.body)
}

// countOrders counts in the order service's database, because a read model may lag.
func (s *stack) countOrders(t *testing.T) int {
	t.Helper()
	var n int
	s.query(t, "order", `SELECT count(DISTINCT stream_id) FROM events`, &n)
	return n
}

// TestIdempotencyKey checks that the same key and body get the same answer and one order, and that
// another body is refused.
func TestIdempotencyKey(t *testing.T) {
	s := shared(t)
	s.receive(t, "IDEM-1", 100)
	body := orderBody("idem", "IDEM-1", 1)
	key := "idem-" + t.Name()
	first := post(t, s.URL["order"]+"/orders", body, "Idempotency-Key", key)
	if first.status != http.StatusCreated {
		t.Fatalf("%d %s", first.status, first.body)
	}
	again := post(t, s.URL["order"]+"/orders", body, "Idempotency-Key", key)
	if again.status != first.status || string(again.body) != string(first.body) {
		t.Errorf("second answer differs:\n%d %s\n%d %s", first.status, first.body, again.status, again.body)
	}
	other := post(t, s.URL["order"]+"/orders", orderBody("idem", "IDEM-1", 2), "Idempotency-Key", key)
	if other.status != http.StatusUnprocessableEntity {
		t.Errorf("another body under the key: %d %s", other.status, other.body)
	}
	stranger := post(t, s.URL["order"]+"/orders", body, "Idempotency-Key", key, "X-Caller-Id", "somebody-else")
	if stranger.status != http.StatusCreated || stranger.field(t, "orderId") == first.field(t, "orderId") {
		t.Errorf("another caller's key met this one: %d %s", stranger.status, stranger.body)
	}
	s.awaitStatus(t, first.field(t, "orderId"), "CONFIRMED", "SHIPPED", "DELIVERED")
}
