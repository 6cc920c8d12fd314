package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
)

// noon is when the orders of these tests are created.
func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

// life returns an order that was placed with two items, confirmed, shipped and delivered: versions 1 to 6,
// recorded at noon and the given seconds. Events cannot be changed, so it is the copy of another one.
func (f *fixture) life(seconds ...float64) (id string) {
	f.t.Helper()
	from := f.place()
	mustReceive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: from, TrackingID: "T1"})
	mustReceive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: from, TrackingID: "T2"})
	mustReceive(f, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: from, DeliveredAt: noon()})
	id = uuid.Must(uuid.NewV7()).String()
	for i, s := range seconds {
		_, err := f.pool.Exec(f.t.Context(), `INSERT INTO events (stream_id, version, event_type, data, metadata, recorded_at)
			SELECT $1, version, event_type, CASE WHEN version = 1 THEN jsonb_set(data, '{orderId}', to_jsonb($1::text)) ELSE data END, metadata, $4
			FROM events WHERE stream_id = $2 AND version = $3`, id, from, i+1, noon().Add(time.Duration(s*float64(time.Second))))
		if err != nil {
			f.t.Fatal(err)
		}
	}
	return id
}

func (f *fixture) asOf(id string, at string) answer {
	f.t.Helper()
	return f.do("GET", "/orders/"+id+"?asOf="+url.QueryEscape(at), "")
}

// TestAsOf: an order is shown as its events up to an instant make it, whatever the clock of the
// database did. The answer's version says up to which.
func TestAsOf(t *testing.T) {
	t.Parallel()
	f := newFixtureWith(t, app.Config{SnapshotEvery: 2})
	for name, tc := range map[string]struct {
		seconds []float64
		want    map[float64]string // version and status by second; "" before creation
	}{
		"steady":       {[]float64{0, 0, 0, 1, 2, 3}, map[float64]string{-0.000001: "", 0: "3 PENDING", 0.9: "3 PENDING", 1: "4 CONFIRMED", 2.5: "5 SHIPPED", 3: "6 DELIVERED", 1e9: "6 DELIVERED"}},
		"microseconds": {[]float64{0, 0.000001, 0.000002, 0.000003, 0.000004, 0.000005}, map[float64]string{0: "1 PENDING", 0.000003: "4 CONFIRMED", 0.0000039: "4 CONFIRMED", 0.000004: "5 SHIPPED"}},
		"set back":     {[]float64{0, 0, 0, 1, -3600, 3}, map[float64]string{-3601: "", -3600: "5 SHIPPED", 0: "5 SHIPPED", 2: "5 SHIPPED", 3: "6 DELIVERED"}},
		"ahead":        {[]float64{0, 0, 0, 3600, 2, 3}, map[float64]string{-1: "", 0: "3 PENDING", 1: "3 PENDING", 2: "5 SHIPPED", 3: "6 DELIVERED", 3600: "6 DELIVERED"}},
	} {
		id := f.life(tc.seconds...)
		began := slices.Min(tc.seconds)
		for range 2 { // without snapshots, and with them
			for second, want := range tc.want {
				at := noon().Add(time.Duration(second * float64(time.Second))).Format(time.RFC3339Nano)
				a := f.asOf(id, at)
				switch {
				case want == "":
					created := noon().Add(time.Duration(began * float64(time.Second))).Format(time.RFC3339Nano)
					if detail, _ := a.Body["detail"].(string); a.Status != http.StatusNotFound || !strings.Contains(detail, "was created at "+created) {
						t.Errorf("%s at %v: %d %s", name, second, a.Status, a.Text)
					}
				case a.Status != http.StatusOK || fmt.Sprint(a.Body["version"], " ", a.Body["status"]) != want:
					t.Errorf("%s at %v: %d %s, want %s", name, second, a.Status, a.Text, want)
				}
			}
			if a := f.do("GET", "/orders/"+id, ""); a.Body["status"] != "DELIVERED" {
				t.Errorf("%s: %d %s", name, a.Status, a.Text)
			}
			if err := f.app.FlushSnapshots(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	id := f.life(0, 0, 0, 1, 2, 3)
	for _, at := range []string{"2026-01-02T13:00:01+01:00", "2026-01-02T04:00:01-08:00", "2026-01-02T12:00:01.000000999Z"} {
		if a := f.asOf(id, at); a.Status != http.StatusOK || a.Body["status"] != "CONFIRMED" {
			t.Errorf("at %s: %d %s", at, a.Status, a.Text)
		}
	}
	for at, want := range map[string]int{"0000-01-01T00:00:00Z": http.StatusNotFound, "9999-12-31T23:59:59Z": http.StatusOK} {
		if a := f.asOf(id, at); a.Status != want {
			t.Errorf("at %s: %d %s", at, a.Status, a.Text)
		}
	}
}

// TestBadTimes: what cannot be answered is refused, with the parameter's name.
func TestBadTimes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.life(0, 0, 0, 1, 2, 3)
	for query, want := range map[string]struct {
		status int
		field  string
	}{
		"?asOf=yesterday": {400, "asOf"}, "?asOf=": {400, "asOf"}, "?asOf=2026-01-02": {400, "asOf"}, "?asOf=2026-01-02T12:00:00": {400, "asOf"},
		"?asOf=2026-02-30T12:00:00Z": {400, "asOf"}, "?asOf=1767355200": {400, "asOf"}, "?asOf=2026-01-02T12:00:00+01:00": {400, "asOf"}, // + is a space
		"?asOf=2026-01-02T12:00:00Z&asOf=2026-01-02T12:00:00Z": {400, "asOf"},
		"?version=1&asOf=2026-01-02T12:00:00Z":                 {400, "asOf"},
		"?version=0":                                           {400, "version"}, "?version=-1": {400, "version"}, "?version=1.5": {400, "version"}, "?version=x": {400, "version"},
		"?version=9223372036854775808": {400, "version"}, "?version=9223372036854775807": {404, ""}, "?version=7": {404, ""},
		"/events?after=-1": {400, "after"}, "/events?limit=0": {400, "limit"}, "/events?limit=1001": {400, "limit"}, "/events?limit=x": {400, "limit"},
		"/diff": {400, "from"}, "/diff?from=1": {400, "to"}, "/diff?to=1": {400, "from"}, "/diff?from=0&to=1": {400, "from"}, "/diff?from=1&to=x": {400, "to"},
		"/diff?from=1&to=7": {404, ""}, "/diff?from=7&to=1": {404, ""}, "?at=2026-01-02T12:00:00Z": {400, "at"},
	} {
		a := f.do("GET", "/orders/"+id+query, "")
		if a.Status != want.status || want.field != "" && !slices.Contains(a.fields(), want.field) {
			t.Errorf("%s: %d %s, want %d about %s", query, a.Status, a.Text, want.status, want.field)
		}
	}
	for _, query := range []string{"?asOf=2026-01-02T12:00:00Z", "?version=1", "/events", "/events?after=5", "/diff?from=1&to=2"} {
		if a := f.do("GET", "/orders/"+uuid.NewString()+query, ""); a.Status != http.StatusNotFound {
			t.Errorf("no order, %s: %d %s", query, a.Status, a.Text)
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.life(0, 0, 0, 1, 2, 3)
	item := func(sku string, quantity, price string) map[string]any {
		return map[string]any{"sku": sku, "quantity": json.Number(quantity), "unitPrice": json.Number(price)}
	}
	change := func(field string, old, replaced any) any {
		c := map[string]any{"field": field}
		if old != nil {
			c["old"] = old
		}
		if replaced != nil {
			c["new"] = replaced
		}
		return c
	}
	for query, want := range map[string][]any{
		"from=4&to=4": {},
		"from=1&to=3": {change("items[0]", nil, item("WIDGET-01", "2", "29.99")), change("items[1]", nil, item("GADGET-05", "1", "40.01"))},
		"from=3&to=2": {change("items[1]", item("GADGET-05", "1", "40.01"), nil)},
		"from=3&to=5": {change("status", "PENDING", "SHIPPED"), change("trackingId", nil, "T2")},
		"from=5&to=4": {change("status", "SHIPPED", "CONFIRMED"), change("trackingId", "T2", "T1")},
	} {
		a := f.do("GET", "/orders/"+id+"/diff?"+query, "")
		if diff := cmp.Diff(want, a.Body["changes"]); a.Status != http.StatusOK || a.Body["orderId"] != id || diff != "" {
			t.Errorf("%s: %d %s\n%s", query, a.Status, a.Text, diff)
		}
	}
	cancelled := f.place()
	f.do("POST", "/orders/"+cancelled+"/cancel", `{"reason": "changed my mind"}`)
	mustReceive(f, app.OnPaymentVoided, events.PaymentVoided{OrderID: cancelled, Reason: "customer"})
	a := f.do("GET", "/orders/"+cancelled+"/diff?from=4&to=5", "")
	want := []any{change("cancelled", nil, map[string]any{"reason": "customer", "detail": "changed my mind"}), change("status", "CANCELLING", "CANCELLED")}
	if diff := cmp.Diff(want, a.Body["changes"]); diff != "" {
		t.Errorf("%d %s\n%s", a.Status, a.Text, diff)
	}
}

// TestAudit: each event has its actor and its cause; pages follow each other.
func TestAudit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.life(0, 0, 0, 1, 2, 3)
	var got []string
	next := "0"
	for pages := 0; next != ""; pages++ {
		a := f.do("GET", "/orders/"+id+"/events?limit=4&after="+next, "")
		if a.Status != http.StatusOK || pages > 1 {
			t.Fatalf("page %d: %d %s", pages, a.Status, a.Text)
		}
		for _, e := range a.Body["events"].([]any) {
			e := e.(map[string]any)
			got = append(got, fmt.Sprintf("%s %s %s %v %v", e["version"], e["type"], e["actor"], e["causedBy"], e["causationId"] != nil))
		}
		next = ""
		if n, ok := a.Body["nextAfter"].(json.Number); ok {
			next = n.String()
		}
	}
	want := []string{"1 OrderCreated customer <nil> false", "2 ItemAdded customer <nil> false", "3 ItemAdded customer <nil> false",
		"4 OrderConfirmed shipping ShipmentScheduled true", "5 OrderShipped shipping ShipmentDispatched true", "6 OrderDelivered shipping ShipmentDelivered true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if a := f.do("GET", "/orders/"+id+"/events?after=1&limit=1", ""); !strings.Contains(a.Text, `"unitPrice":29.99`) {
		t.Errorf("amounts of a page without the first event: %s", a.Text)
	}
}
