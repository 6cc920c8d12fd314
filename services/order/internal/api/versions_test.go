package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
)

func TestChannel(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	with := func(channel string) string {
		return strings.Replace(cart, `"currency": "GBP"`, `"currency": "GBP", "channel": "`+channel+`"`, 1)
	}
	a := f.do("POST", "/orders", with("phone"))
	if a.Status != http.StatusCreated || a.Body["channel"] != "phone" {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	if got := f.do("GET", "/orders/"+a.Body["orderId"].(string), ""); got.Text != a.Text {
		t.Errorf("GET has %s, POST had %s", got.Text, a.Text)
	}
	for _, channel := range []string{"fax", "", "unspecified"} {
		if a := f.do("POST", "/orders", with(channel)); a.Status != http.StatusUnprocessableEntity || strings.Join(a.fields(), " ") != "channel" {
			t.Errorf("%q: %d %s", channel, a.Status, a.Text)
		}
	}
}

// TestAnOrderOfTheReleaseBefore: its events, in their first version, are shown and decided about as new
// ones are.
func TestAnOrderOfTheReleaseBefore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	from, id := f.place(), uuid.Must(uuid.NewV7()).String()
	f.do("POST", "/orders/"+from+"/cancel", `{"reason": "changed my mind"}`)
	tag, err := f.pool.Exec(t.Context(), `INSERT INTO events (stream_id, version, event_type, data, metadata)
		SELECT $1, version, event_type, data - 'v' - 'channel' - 'actor' - 'trigger' || CASE version WHEN 1 THEN jsonb_build_object('orderId', $1::text) ELSE '{}' END, metadata - 'input'
		FROM events WHERE stream_id = $2 ORDER BY version`, id, from)
	if err != nil || tag.RowsAffected() != 4 {
		t.Fatal(tag, err)
	}
	// What both orders show is the same but for the id.
	same := func(what string) {
		t.Helper()
		now, before := f.do("GET", "/orders/"+from+what, ""), f.do("GET", "/orders/"+id+what, "")
		if now.Status != http.StatusOK || strings.ReplaceAll(now.Text, from, id) != before.Text {
			t.Errorf("%s:\n%s\n%s", what, now.Text, before.Text)
		}
	}
	same("")
	same("?version=3")
	same("/diff?from=1&to=4")
	for _, order := range []string{from, id} {
		a := f.do("GET", "/orders/"+order+"/events?after=3", "")
		for _, want := range []string{`"actor":"customer"`, `"trigger":"request"`, `"reason":"customer"`, `"detail":"changed my mind"`} {
			if !strings.Contains(a.Text, want) {
				t.Errorf("no %s in %s", want, a.Text)
			}
		}
		mustReceive(f, app.OnPaymentVoided, events.PaymentVoided{OrderID: order, Reason: "customer"})
	}
	same("")
}
