package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
)

func listed(a answer) []string {
	out := []string{}
	sagas, _ := a.Body["sagas"].([]any)
	for _, s := range sagas {
		out = append(out, s.(map[string]any)["orderId"].(string))
	}
	return out
}

func TestSagas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if a := f.do("GET", "/sagas", ""); a.Status != http.StatusOK || a.Text != `{"sagas":[]}` {
		t.Errorf("of no orders: %d %q", a.Status, a.Text)
	}
	all := []string{f.place(), f.place(), f.place(), f.place()}
	mustReceive(f, app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: all[1], Reason: "customer"})
	mustReceive(f, app.OnPaymentFailed, events.PaymentFailed{OrderID: all[3], Reason: "insufficient_funds"}) // and is gone

	a := f.do("GET", "/sagas", "")
	if diff := cmp.Diff(all[:3], listed(a)); diff != "" || a.Body["nextCursor"] != nil {
		t.Errorf("%s%s", diff, a.Text)
	}
	order := f.do("GET", "/orders/"+all[1], "").Body
	saga := a.Body["sagas"].([]any)[1].(map[string]any)
	want := map[string]any{
		"orderId": all[1], "version": json.Number("4"), "status": "PENDING", "saga": "choreographed", "needsAttention": true,
		"placedAt": order["placedAt"], "confirmBy": order["confirmBy"], "updatedAt": saga["updatedAt"],
		"attention": order["attention"],
	}
	if diff := cmp.Diff(want, saga); diff != "" {
		t.Error(diff)
	}
	if changed, err := time.Parse(time.RFC3339Nano, saga["updatedAt"].(string)); err != nil || time.Since(changed) > time.Minute {
		t.Errorf("updatedAt %v", saga["updatedAt"])
	}

	if a := f.do("GET", "/sagas?needsAttention=true", ""); len(listed(a)) != 1 || listed(a)[0] != all[1] {
		t.Errorf("needing attention: %s", a.Text)
	}
	if a := f.do("GET", "/sagas?placedBefore=2026-01-01T00:00:00Z", ""); a.Status != http.StatusOK || len(listed(a)) != 0 {
		t.Errorf("placed before: %d %s", a.Status, a.Text)
	}
	first := f.do("GET", "/sagas?limit=2", "")
	if diff := cmp.Diff(all[:2], listed(first)); diff != "" || first.Body["nextCursor"] != all[1] {
		t.Errorf("first page: %s%s", diff, first.Text)
	}
	if a := f.do("GET", "/sagas?limit=2&cursor="+all[1], ""); a.Body["nextCursor"] != nil || len(listed(a)) != 1 {
		t.Errorf("last page: %s", a.Text)
	}
	for _, query := range []string{"limit=0", "limit=501", "cursor=x", "placedBefore=yesterday", "needsAttention=maybe", "status=PENDING"} {
		if a := f.do("GET", "/sagas?"+query, ""); a.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, a.Status, a.Text)
		}
	}
}
