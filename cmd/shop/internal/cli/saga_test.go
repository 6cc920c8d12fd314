package cli_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/cmd/shop/internal/ops"
	"eventshop.example/cmd/shop/internal/ops/opstest"
)

// orderID is the id of the nth order.
func orderID(n int) string { return opstest.ID(0x4000 + n) }

// saga adds one to what the order service lists.
func (s *shop) saga(n int, status string, age time.Duration) map[string]any {
	at := time.Now().Add(-age)
	v := map[string]any{
		"orderId": orderID(n), "version": 3, "status": status, "needsAttention": false,
		"placedAt": at, "confirmBy": at.Add(5 * time.Minute), "changedAt": at,
	}
	s.services.Sagas = append(s.services.Sagas, v)
	s.services.Orders[orderID(n)] = v
	return v
}

func TestSagaList(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.has(s.must("saga", "list"), "no such orders")
	s.saga(1, "PENDING", time.Second)
	s.saga(2, "PENDING", 10*time.Minute)
	s.saga(3, "CANCELLING", 10*time.Minute)["attention"] = map[string]any{"reason": "PaymentRefundFailed", "detail": "gateway says no"}
	s.services.Sagas[2]["needsAttention"] = true
	s.services.Payments[orderID(3)] = map[string]any{"state": "REFUND_FAILED", "lastError": "card closed", "updatedAt": "2026-01-02T03:04:05Z"}
	s.saga(4, "CONFIRMED", time.Hour)
	s.payment.Add(1, orderID(1)).ErrorMessage = "boom"

	out := s.must("saga", "list")
	s.has(out, "payment: dead letter "+opstest.ID(1)+", OrderCreated: boom\n",
		"deadline passed 5m00s ago, nothing known holds it: is everything up? (shop status)\n",
		"payment: refund failed: card closed\n", "needs attention: PaymentRefundFailed: gateway says no\n", "under way\n")
	var order []string
	for _, w := range words(out) {
		if len(w) > 0 && strings.HasPrefix(w[0], "019b") {
			order = append(order, w[0]+" "+w[1])
		}
	}
	want := []string{orderID(1) + " PENDING", orderID(2) + " PENDING", orderID(3) + " CANCELLING", orderID(4) + " CONFIRMED"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Error(diff)
	}
	if out := s.must("saga", "list", "--stuck"); strings.Contains(out, orderID(4)) || !strings.Contains(out, orderID(1)) {
		t.Error(out)
	}
	s.has(s.must("saga", "list", "--limit", "1"), "… and 3 more")
	v := decode(t, s.must("saga", "list", "--json", "--stuck"))
	first := v["sagas"].([]any)[0].(map[string]any)
	if len(v["sagas"].([]any)) != 3 || first["heldBy"].([]any)[0].(map[string]any)["kind"] != "dead letter" {
		t.Errorf("%v", v)
	}
	s.must("saga", "list", "--needs-attention", "--older-than", "10m")
	queries := s.services.Queries()
	s.has(queries[len(queries)-1], "needsAttention=true", "placedBefore=20")
	s.fails([]string{"saga", "list", "--older-than", "long"}, "--older-than")

	s.paymentIsDown()
	s.has(s.fails([]string{"saga", "list"}, "payment cannot be asked"), orderID(1))
}

func TestSagaRetry(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.saga(1, "CANCELLING", time.Hour)
	s.services.Payments[orderID(1)] = map[string]any{"state": "REFUND_FAILED", "lastError": "card closed", "updatedAt": "2026-01-02T03:04:05Z"}
	s.payment.Add(2, orderID(1))
	s.order.Add(1, orderID(1))
	s.payment.Add(3, orderID(2))
	s.order.Parked = []ops.ParkedKey{{Topic: "payment.events", Key: orderID(1), State: ops.Retrying, EventType: "PaymentVoided", NotBefore: time.Now().Add(time.Minute)}}

	out := s.must("saga", "retry", strings.ToUpper(orderID(1)), "--as", "ada", "--reason", "mended")
	s.has(out, "order: dead letter "+opstest.ID(1)+", OrderCreated: boom\n  → resubmitted\npayment: dead letter "+opstest.ID(2),
		"payment: refund failed: card closed\n  → refund is tried again\n",
		"order: PaymentVoided failed and is tried again, next try in 59s\n  → is tried again by itself\n")
	if diff := cmp.Diff([]string{post(2, "resubmit", "ada", `{"reason":"mended"}`)}, s.payment.Changes()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"saga-retry-2026-01-02T03:04:05Z ada"}, s.services.Retried()); diff != "" {
		t.Error(diff)
	}
	if got := s.payment.Status(3); got != ops.Open {
		t.Errorf("another order's dead letter is %s", got)
	}

	// Again: nothing is left to do, and nothing is done.
	out = s.fails([]string{"saga", "retry", orderID(1)}, "nothing to do")
	s.has(out, "is tried again by itself")
	if len(s.payment.Changes()) != 1 || len(s.services.Retried()) != 1 {
		t.Errorf("%v %v", s.payment.Changes(), s.services.Retried())
	}
	v := decode(t, s.fails([]string{"saga", "retry", orderID(1), "--json"}, "nothing to do"))
	if v["done"] != 0.0 || len(v["steps"].([]any)) != 1 {
		t.Errorf("%v", v)
	}

	s.fails([]string{"saga", "retry", orderID(9)}, "there is no order")
	s.fails([]string{"saga", "retry", "x"}, "no order id")
	s.payment.Refuses = opstest.ID(3)
	s.saga(2, "PENDING", time.Hour)
	s.has(s.fails([]string{"saga", "retry", orderID(2)}, "1 of 1 failed"), "not resubmitted: internal error")
	s.paymentIsDown()
	s.fails([]string{"saga", "retry", orderID(2)}, "payment cannot be asked", "nothing to do")
}

func TestOutbox(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	kept := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.payment.Outbox = ops.Outbox{
		Unpublished: 7, OldestAge: 65, Published: 1000, OldestKept: &kept,
		Partitions: []ops.Partition{{Name: "outbox_20260102", Bytes: 3 << 20}, {Name: "outbox_20260103", Bytes: 1 << 19}},
		Topics:     []ops.Backlog{{Topic: "payment.events", Unpublished: 7}, {Topic: "empty", Unpublished: 0}},
	}
	want := [][]string{
		{"SERVICE", "UNPUBLISHED", "OLDEST", "KEPT", "SINCE", "MB"},
		{"order", "0", "-", "0", "-", "0.0"},
		{"payment", "7", "1m05s", "1000", "2026-01-02T03:04:05Z", "3.5"},
		{}, {"unpublished:"}, {"SERVICE", "TOPIC", "ROWS"}, {"payment", "payment.events", "7"},
	}
	if diff := cmp.Diff(want, words(s.must("outbox", "stats"))); diff != "" {
		t.Error(diff)
	}
	if v := decode(t, s.must("outbox", "stats", "--service", "payment", "--json")); len(v["outboxes"].([]any)) != 1 {
		t.Errorf("%v", v)
	}

	s.payment.Rows, s.order.Rows = 42, 1
	s.has(s.must("outbox", "republish", "--dry-run"), "order      1 row would be published again\n", "payment    42 rows would")
	s.has(s.fails([]string{"outbox", "republish"}, "not confirmed"), "42 rows would")
	for _, c := range append(s.payment.Changes(), s.order.Changes()...) {
		if !strings.Contains(c, `"dryRun":true`) {
			t.Errorf("done without being told: %s", c)
		}
	}
	s.has(s.must("outbox", "republish", "--service", "payment", "--topic", "payment.events", "--topic", "x", "--until", "2026-01-02", "--yes", "--as", "ada"),
		"payment    42 rows will be published again\n")
	changes := s.payment.Changes()
	if got, want := changes[len(changes)-1], `POST /outbox/republish ada {"topics":["payment.events","x"],"until":"2026-01-02T00:00:00Z"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	s.fails([]string{"outbox", "republish", "--since", "x", "--yes"}, "--since")
	s.paymentIsDown()
	s.has(s.fails([]string{"outbox", "republish", "--yes"}, "payment: "), "order      1 row will")
}
