package saga_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/operators"
	"eventshop.example/ops/operators/opstest"
	"eventshop.example/ops/saga"
)

// asks adds a saga that asks for attention.
func (w *world) asks(n int, state, command, why string) map[string]any {
	s := map[string]any{"orderId": orderID(n), "definition": 1, "status": state, "step": "refund", "attempt": 2, "version": 4, "attention": why}
	if command != "" {
		s["command"] = command
	}
	w.orchestrator.Sagas = append(w.orchestrator.Sagas, s)
	return s
}

// TestSagasThatAskForAttention: an orchestrated saga that asks for attention is stuck, whatever the order
// service says about its order; other sagas are not. So are the participants' reasons.
func TestSagasThatAskForAttention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.orchestrator.PageSize = 1 // the list has several pages
	w.underWay(1, "PENDING", time.Minute, time.Minute)
	w.asks(1, "CHARGING", "ChargePayment", "ChargePayment has no answer")
	w.underWay(2, "PENDING", time.Minute, time.Minute)
	w.orchestrator.Sagas = append(w.orchestrator.Sagas, map[string]any{"orderId": orderID(2), "status": "CHARGING"})
	w.asks(3, "CANCELLED", "", "the parcel of a cancelled order has left")
	w.services.Orders[orderID(3)] = order(3, "CANCELLED", time.Hour, time.Hour)
	w.services.Payments[orderID(1)] = map[string]any{"status": "NONE", "attention": "a record of the other style"}
	w.services.Reservations[orderID(1)] = map[string]any{"status": "CANCELLED", "attention": "a record of the other style"}
	w.services.Shipments[orderID(3)] = map[string]any{"status": "DISPATCHED"}
	w.payment.Add(1, orderID(4))
	w.services.Orders[orderID(4)] = order(4, "DELIVERED", time.Hour, time.Hour)

	stuck := []string{
		want(1, "PENDING: attention of orchestrator, attention of payment, attention of inventory"),
		want(3, "CANCELLED: attention of orchestrator"),
		want(4, "DELIVERED: dead letter of payment"),
	}
	if diff := cmp.Diff(stuck, w.list(saga.Filter{Stuck: true})); diff != "" {
		t.Error(diff)
	}
	// The order service filters its own list; the sagas come on top, other holds do not.
	w.services.Sagas = nil
	w.services.Orders[orderID(1)] = order(1, "PENDING", time.Minute, time.Minute)
	if diff := cmp.Diff(stuck[:2], w.list(saga.Filter{NeedsAttention: true})); diff != "" {
		t.Error(diff)
	}
	one := saga.Saga{OrderID: orderID(1), Status: "PENDING"}
	if bad := w.shop.Complete(t.Context(), &one); len(bad) > 0 || len(one.Holds) != 3 {
		t.Errorf("%v %v", one.Holds, bad)
	}
	hold := saga.Hold{Kind: saga.Asks, Group: "orchestrator", Type: "CHARGING", Detail: "ChargePayment has no answer", Attempts: 2}
	if diff := cmp.Diff(hold, one.Holds[0]); diff != "" {
		t.Error(diff)
	}
}

// retried formats the steps of a retry.
func (w *world) retried(n int) []string {
	w.t.Helper()
	steps, unanswered, err := w.shop.Retry(w.t.Context(), orderID(n), "ada", "")
	if err != nil || len(unanswered) > 0 {
		w.t.Fatal(err, unanswered)
	}
	out := []string{}
	for _, s := range steps {
		text := s.Kind + " of " + s.Group + ": " + s.What
		if s.Done {
			text += ", done"
		}
		if s.Err != nil {
			text += ", " + s.Err.Error()
		}
		out = append(out, text)
	}
	return out
}

// TestRetryOfASaga: the command of a saga that asks for attention is sent again, under a key that names
// the commands so far. It is not, when something else is restarted that leads to the answer.
func TestRetryOfASaga(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range 7 {
		w.services.Orders[orderID(n)] = order(n, "CANCELLING", time.Hour, time.Hour)
	}
	w.asks(0, "REFUNDING", "RefundPayment", "RefundPayment has no answer")
	w.asks(1, "CANCELLED", "", "the parcel has left")
	w.asks(2, "REFUNDING", "RefundPayment", "money could not be returned")
	w.services.Payments[orderID(2)] = map[string]any{"status": "REFUND_FAILED", "updatedAt": now()}
	w.asks(3, "REFUNDING", "RefundPayment", "RefundPayment has no answer")
	w.payment.Add(1, orderID(3))
	delete(w.asks(4, "REFUNDING", "RefundPayment", ""), "attention")
	for n, ago := range []time.Duration{5 * time.Second, time.Hour} {
		w.asks(5+n, "REFUNDING", "RefundPayment", "RefundPayment has no answer")["log"] = []map[string]any{
			{"n": 1, "at": now().Add(-ago), "input": "Retry", "command": "RefundPayment", "commandId": "again"},
		}
	}
	for n, want := range [][]string{
		{"attention of orchestrator: RefundPayment is sent again, as event " + opstest.ID(0x99) + ", done"},
		{"attention of orchestrator: left alone, its state CANCELLED has no command to send again; when it is settled, shop saga acknowledge ends it"},
		{"refund failed of payment: refund is tried again, done"},
		{"dead letter of payment: resubmitted, done"},
		{},
		{"attention of orchestrator: left alone, RefundPayment was sent again 5s ago, as event again"},
		{"attention of orchestrator: RefundPayment is sent again, as event " + opstest.ID(0x99) + ", done"},
	} {
		if diff := cmp.Diff(want, w.retried(n)); diff != "" {
			t.Errorf("order %d: %s", n, diff)
		}
	}
	if diff := cmp.Diff([]string{"saga-retry-4 ada", "saga-retry-4 ada"}, w.orchestrator.Retried()); diff != "" {
		t.Error(diff)
	}
}

// TestAcknowledge: the saga leaves the list. The key names the log as it was found.
func TestAcknowledge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services.Orders[orderID(1)] = order(1, "CANCELLED", time.Hour, time.Hour)
	w.asks(1, "CANCELLED", "", "the parcel has left")["log"] = []map[string]any{{"n": 1}, {"n": 2}}
	w.asks(2, "REFUNDING", "RefundPayment", "RefundPayment has no answer")
	w.services.Orders[orderID(2)] = order(2, "CANCELLING", time.Hour, time.Hour)
	if got := w.list(saga.Filter{Stuck: true}); len(got) != 2 {
		t.Fatal(got)
	}
	settled, after, err := w.shop.Acknowledge(t.Context(), orderID(1), "ada", "it came back")
	if err != nil || settled != "the parcel has left" || after.State != "CANCELLED" || after.Attention != "" {
		t.Errorf("%+v, %v", after, err)
	}
	for n, text := range map[int]string{1: "nothing to acknowledge", 2: "nothing to acknowledge", 3: "no orchestrated saga"} {
		if _, _, err := w.shop.Acknowledge(t.Context(), orderID(n), "ada", "seen"); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("order %d: %v", n, err)
		}
	}
	if diff := cmp.Diff([]string{"saga-acknowledge-2 ada 2 it came back"}, w.orchestrator.Acknowledged()); diff != "" {
		t.Error(diff)
	}
	if got := w.list(saga.Filter{Stuck: true}); len(got) != 1 {
		t.Error(got)
	}
}

// TestAShopWithoutAnOrchestrator: a shop of the release before is asked as before.
func TestAShopWithoutAnOrchestrator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.services.URL
	shop := saga.New(saga.Endpoints{Order: u, Payment: u, Inventory: u}, operators.NewFleet(map[string]string{"order": w.order.URL}, "ada"), now)
	w.underWay(1, "PENDING", time.Hour, time.Hour)
	w.services.Orders[orderID(1)] = w.services.Sagas[0]
	list, bad, err := shop.List(t.Context(), saga.Filter{})
	if err != nil || len(bad) > 0 || len(list) != 1 {
		t.Errorf("%v, %v, %v", list, bad, err)
	}
	if steps, bad, err := shop.Retry(t.Context(), orderID(1), "ada", ""); err != nil || len(steps)+len(bad) > 0 {
		t.Errorf("%v, %v, %v", steps, bad, err)
	}
	if s, err := shop.Coordinated(t.Context(), orderID(1)); s != nil || err != nil {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := shop.Definitions(t.Context()); err == nil || !strings.Contains(err.Error(), "no orchestrator") {
		t.Errorf("definitions: %v", err)
	}
}

// TestAnOrchestratorThatIsAway: the list has the parts of the others, and names it.
func TestAnOrchestratorThatIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.services.URL
	shop := saga.New(saga.Endpoints{Order: u, Payment: u, Inventory: u, Orchestrator: "http://127.0.0.1:1"}, operators.NewFleet(nil, "ada"), now)
	w.underWay(1, "PENDING", time.Minute, time.Minute)
	list, bad, err := shop.List(t.Context(), saga.Filter{})
	if err != nil || len(list) != 1 || len(bad) != 1 || !strings.Contains(bad[0].Error(), "orchestrator cannot be asked") {
		t.Errorf("%v, %v, %v", list, bad, err)
	}
}

func TestRamp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services.Ramp = map[string]any{"orchestratedPercent": 0, "ready": false, "reason": "payment-2 does not know styles", "updatedAt": now()}
	r, err := w.shop.Ramp(t.Context())
	if diff := cmp.Diff(saga.Ramp{Reason: "payment-2 does not know styles", ChangedAt: now()}, r); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if _, err := w.shop.SetRamp(t.Context(), 20); jsonhttp.StatusOf(err) != http.StatusConflict || !strings.Contains(err.Error(), "payment-2") {
		t.Errorf("not ready: %v", err)
	}
	w.services.Ramp["ready"] = true
	if r, err := w.shop.SetRamp(t.Context(), 20); err != nil || r.OrchestratedPercent != 20 || !r.Ready {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestAnOrderServiceOfTheReleaseBefore: it has no path for the ramp. The error says what to do.
func TestAnOrderServiceOfTheReleaseBefore(t *testing.T) {
	t.Parallel()
	before := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"type":"about:blank","title":"Not Found","status":404,"detail":"there is no such path"}`))
	}))
	t.Cleanup(before.Close)
	shop := saga.New(saga.Endpoints{Order: before.URL}, operators.NewFleet(nil, "ada"), now)
	_, err := shop.Ramp(t.Context())
	_, err2 := shop.SetRamp(t.Context(), 20)
	for _, err := range []error{err, err2} {
		if err == nil || !strings.Contains(err.Error(), "does not know the styles of the saga") || !strings.Contains(err.Error(), "update it first") {
			t.Errorf("%v", err)
		}
	}
}
