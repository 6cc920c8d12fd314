package api_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
)

// TestOrderVersion: every command answers with the version of the order's last published event, and
// so does a repetition under its Idempotency-Key, even where an earlier release stored the answer
// without it. The version in the body counts private events as well.
func TestOrderVersion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	placed := f.do("POST", "/orders", cart, "Idempotency-Key", "place")
	id, _ := placed.Body["orderId"].(string)
	cancel := "/orders/" + id + "/cancel"
	var answers []answer
	first := f.do("POST", cancel, "", "Idempotency-Key", "cancel")
	mustReceive(f, app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id}) // a private event
	repeated := f.do("POST", cancel, "", "Idempotency-Key", "cancel again")
	answers = append(answers, placed, first, repeated)
	for range 2 {
		answers = append(answers,
			f.do("POST", "/orders", cart, "Idempotency-Key", "place"),
			f.do("POST", cancel, "", "Idempotency-Key", "cancel"),
			f.do("POST", cancel, "", "Idempotency-Key", "cancel again"))
		// As an earlier release stored them.
		if _, err := f.pool.Exec(context.Background(), `UPDATE idempotency_keys SET headers = headers - 'Order-Version'`); err != nil {
			t.Fatal(err)
		}
	}
	mustReceive(f, app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
	answers = append(answers, f.do("POST", cancel, ""))

	type versions struct{ Published, Body any }
	var got []versions
	for _, a := range answers {
		v, _ := a.Body["version"].(interface{ String() string })
		got = append(got, versions{a.Header.Get("Order-Version"), v.String()})
	}
	want := []versions{
		{"3", "3"}, {"4", "4"}, {"4", "5"}, // the commands
		{"3", "3"}, {"4", "4"}, {"4", "5"}, // repeated
		{"3", "3"}, {"4", "4"}, {"4", "5"}, // repeated, stored without the header
		{"6", "6"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	shipped := f.place()
	mustReceive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: shipped, TrackingID: "T1"})
	if a := f.do("POST", "/orders/"+shipped+"/cancel", ""); a.Status != http.StatusConflict || a.Header.Get("Order-Version") != "" {
		t.Errorf("a command that is refused: %d, Order-Version %q", a.Status, a.Header.Get("Order-Version"))
	}
}
