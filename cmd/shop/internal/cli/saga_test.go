package cli_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/operators/opstest"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/operator/operatorapi"
	"eventshop.example/pkg/pgtest"
)

// orderID returns the id of the nth order.
func orderID(n int) string { return opstest.ID(0x4000 + n) }

// saga adds an order to the order service's list.
func (s *shop) saga(n int, status string, age time.Duration) map[string]any {
	at := time.Now().Add(-age)
	v := map[string]any{
		"orderId": orderID(n), "version": 3, "status": status, "needsAttention": false,
		"placedAt": at, "confirmBy": at.Add(5 * time.Minute), "updatedAt": at,
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
	s.services.Payments[orderID(3)] = map[string]any{"status": "REFUND_FAILED", "lastError": "card closed", "updatedAt": "2026-01-02T03:04:05Z"}
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
	s.services.Payments[orderID(1)] = map[string]any{"status": "REFUND_FAILED", "lastError": "card closed", "updatedAt": "2026-01-02T03:04:05Z"}
	s.payment.Add(2, orderID(1))
	s.order.Add(1, orderID(1))
	s.payment.Add(3, orderID(2))
	s.order.Parked = []operators.ParkedKey{{Topic: "payment.events", Key: opstest.Key(orderID(1)), State: operators.Retrying, EventType: "PaymentVoided", NotBefore: time.Now().Add(time.Minute)}}

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
	if got := s.payment.Status(3); got != operators.Open {
		t.Errorf("another order's dead letter is %s", got)
	}

	// The second call has nothing to do and does nothing.
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
	s.has(s.fails([]string{"saga", "retry", orderID(2)}, "1 of 1 failed"), "not resubmitted: the server failed; the log has the reason")
	s.paymentIsDown()
	s.fails([]string{"saga", "retry", orderID(2)}, "payment cannot be asked", "nothing to do")
}

// TestSagaRetryFindsTheOrder: it finds the order by a prefix of its id and by its idempotency key,
// as `shop order` does, and prints its id.
func TestSagaRetryFindsTheOrder(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	dsn := pgtest.NewURL(t, eventstore.Component(), httpapi.IdempotencyComponent())
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	const key = "0b8fd8a6-8f3c-4f0e-9c57-2f8f4c1d7a11"
	_, err = c.Exec(t.Context(), `INSERT INTO events (stream_id, version, event_type, data) VALUES ($1, 1, 'OrderCreated', '{}')`, orderID(1))
	if err == nil {
		_, err = c.Exec(t.Context(), `INSERT INTO idempotency_keys (caller, scope, key, request_hash, status, headers, body)
			VALUES ('', 'POST /orders', $1, '', 201, '{}', convert_to('{"orderId":"`+orderID(1)+`"}', 'UTF8'))`, key)
	}
	if err != nil {
		t.Fatal(err)
	}
	u := s.services.URL
	s.stateIs(map[string]any{
		"ports": map[string]int{}, "operators": map[string]string{"payment": s.payment.URL},
		"urls": map[string]string{"order": u, "payment": u, "inventory": u}, "databases": map[string]string{"order": dsn},
	})
	s.saga(1, "PENDING", time.Hour)
	for n, text := range []string{orderID(1)[:13], key, orderID(1)} {
		s.payment.Add(n+1, orderID(1))
		s.has(s.must("saga", "retry", text), "dead letter "+opstest.ID(n+1))
		if named := strings.Contains(s.progress, "(order "+orderID(1)+")"); named != (text != orderID(1)) {
			t.Errorf("%s: %q", text, s.progress)
		}
	}
	s.fails([]string{"saga", "retry", orderID(1)[:7]}, "8 characters at least")
	s.fails([]string{"saga", "retry", "ffffffff"}, "no order id, nor the beginning of one")
}

func TestOutbox(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	kept := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.payment.Outbox = operators.Outbox{
		Unpublished: 7, OldestAgeSeconds: 65, Published: 1000, OldestKept: kept,
		Partitions: []operatorapi.Partition{{Name: "outbox_20260102", Bytes: 3 << 20}, {Name: "outbox_20260103", Bytes: 1 << 19}},
		Topics:     []operatorapi.Backlog{{Topic: "payment.events", Unpublished: 7}, {Topic: "empty", Unpublished: 0}},
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

// TestOrder checks the story of a shop without Kafka, and that it is marked as incomplete.
func TestOrder(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	u := s.services.URL
	s.stateIs(map[string]any{
		"ports": map[string]int{}, "operators": map[string]string{"order": s.order.URL, "payment": s.payment.URL}, "kafka": []string{"127.0.0.1:1"},
		"urls": map[string]string{"order": u, "payment": u, "inventory": u, "shipping": u, "notification": u, "gateway": u, "registry": u},
	})
	s.saga(1, "DELIVERED", time.Minute)
	s.payment.Add(1, orderID(1))
	out := s.fails([]string{"order", strings.ToUpper(orderID(1))}, "not every process answered", "the topics cannot be read")
	s.has(out, "order "+orderID(1)+"  DELIVERED", "no events", opstest.ID(1)+", open",
		"waits for: nothing, the order has ended", "held by: payment: dead letter "+opstest.ID(1))
	v := decode(t, s.fails([]string{"order", orderID(1), "--json"}, "not every process answered"))
	if v["ended"] != true || len(v["missing"].([]any)) != 1 || len(v["deadLetters"].([]any)) != 1 || len(v["heldBy"].([]any)) != 1 {
		t.Errorf("%v", v)
	}
	// The order has ended, so there is nothing to follow.
	s.has(s.fails([]string{"order", orderID(1), "--follow"}, "the topics cannot be read"), "DELIVERED")
	v = decode(t, s.fails([]string{"order", orderID(1), "--follow", "--json"}, "the topics cannot be read"))
	if story, ok := v["story"].(map[string]any); !ok || story["orderId"] != orderID(1) {
		t.Errorf("%v", v)
	}
	s.fails([]string{"order", orderID(2)}, orderID(2), "there is no such order")
	s.fails([]string{"order", "019b76da"}, `"019b76da" is no order id`)
	s.fails([]string{"order"}, "accepts 1 arg")
	s.paymentIsDown()
	s.state = t.TempDir()
	s.fails([]string{"order", orderID(1)}, "there is no shop")
}

// TestProgressWhileNothingAnswers: the command prints a message while it waits for a frozen broker
// or service.
func TestProgressWhileNothingAnswers(t *testing.T) {
	t.Parallel()
	frozen, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and does not answer
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { frozen.Close() })
	var waited sync.WaitGroup
	for name, c := range map[string]struct {
		args   []string
		frozen string // in the state
		word   string
	}{
		"order":      {[]string{"order", orderID(1)}, "kafka", "asking topics"},
		"saga list":  {[]string{"saga", "list"}, "order", "asking the services"},
		"saga retry": {[]string{"saga", "retry", orderID(1)}, "order", "setting order " + orderID(1) + " going again"},
	} {
		s := newShop(t)
		broker, u := "127.0.0.1:1", s.services.URL
		urls := map[string]string{"order": u, "payment": u, "inventory": u, "shipping": u, "gateway": u, "registry": u}
		if c.frozen == "kafka" {
			broker = frozen.Addr().String()
		} else {
			urls[c.frozen] = "http://" + frozen.Addr().String()
		}
		s.stateIs(map[string]any{
			"ports": map[string]int{}, "operators": map[string]string{"order": s.order.URL}, "kafka": []string{broker}, "urls": urls,
		})
		s.saga(1, "PENDING", time.Hour)
		waited.Go(func() { // in parallel: each of them takes ten seconds
			if _, err := s.run(c.args...); err == nil {
				t.Errorf("%s: a frozen shop answers", name)
			}
			s.has(s.progress, c.word)
		})
	}
	waited.Wait()
}

// TestOrchestratedSagas: a saga that asks for attention is listed as stuck, and retry has its command
// sent again.
func TestOrchestratedSagas(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.saga(1, "PENDING", time.Second)["saga"] = "orchestrated"
	s.sagas.Sagas = []map[string]any{{"orderId": orderID(1), "status": "CHARGING", "attention": "ChargePayment has no answer", "version": 1, "command": "ChargePayment"}}
	s.has(strings.Join(strings.Fields(s.must("saga", "list", "--stuck")), " "), orderID(1), "orchestrator: CHARGING and asks for attention: ChargePayment has no answer")
	s.has(s.must("saga", "retry", orderID(1), "--as", "ada"), "orchestrator: CHARGING and asks for attention",
		"→ ChargePayment is sent again, as event "+opstest.ID(0x99))
	if diff := cmp.Diff([]string{"saga-retry-1 ada"}, s.sagas.Retried()); diff != "" {
		t.Error(diff)
	}
	delete(s.sagas.Sagas[0], "attention")
	s.fails([]string{"saga", "retry", orderID(1)}, "no saga that asks for attention")
}

func TestSagaVersionsAndStyle(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.sagas.Definitions = []map[string]any{
		{"version": 1, "steps": []string{"charge", "reserve"}, "running": 0, "ended": 7, "drained": true},
		{"version": 2, "steps": []string{"charge"}, "begins": true, "running": 3, "ended": 0},
		{"version": 3, "steps": []string{}, "newest": true, "running": 1, "ended": 0},
	}
	out := s.must("saga", "versions")
	s.has(strings.Join(strings.Fields(out), " "), "1 0 7 charge, reserve drained", "2 3 0 charge new sagas", "3 1 0 not known to the orchestrator that runs newest")
	if v := decode(t, s.must("saga", "versions", "--json")); len(v["definitions"].([]any)) != 3 {
		t.Errorf("%v", v)
	}

	s.services.Ramp = map[string]any{"orchestratedPercent": 0, "ready": false, "reason": "payment-2 reads no commands", "updatedAt": "2026-01-02T03:04:05Z"}
	s.has(s.must("saga", "style"), "of 0% of the customers", "choreographed for now: payment-2 reads no commands")
	s.fails([]string{"saga", "style", "--orchestrated", "20%"}, "payment-2 reads no commands")
	s.services.Ramp["ready"] = true
	if out := s.must("saga", "style", "--orchestrated", "20%"); !strings.Contains(out, "of 20% of the customers") || strings.Contains(out, "for now") {
		t.Error(out)
	}
	if v := decode(t, s.must("saga", "style", "--json")); v["orchestratedPercent"] != 20.0 || v["ready"] != true {
		t.Errorf("%v", v)
	}
	s.fails([]string{"saga", "style", "--orchestrated", "half"}, "--orchestrated")
}
