package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// told is the part of an order's story that these tests check.
type reported struct {
	Ended  bool
	Order  struct{ Status string }
	Events []struct {
		N                 int
		ID, Type, Service string
		At                time.Time
		Published         bool
		Cause             struct {
			Kind, Type, ID string
			N              int
		}
		Trace  string // W3C traceparent
		Copies []struct{ Partition int32 }
		Data   struct{ OrderID string }
	}
	Money struct {
		Gateway struct {
			Status           string
			Amount, Refunded json.Number
		}
		Payment struct{ Status string }
	}
	Stock    struct{ Status string }
	Parcel   struct{ Status, TrackingID string }
	WaitsFor []struct {
		Service, To, Event string
		Because            []struct{ Kind string }
	}
	Missing []string
}

// story runs `shop order` for an order's story.
func (s *stack) story(t testing.TB, id string) reported {
	t.Helper()
	var v reported
	if out := s.must(t, "order", id, "--json"); json.Unmarshal([]byte(out), &v) != nil {
		t.Fatalf("no story:\n%s", out)
	}
	return v
}

// caused returns the events of the saga as "type ← cause". It checks that causes come before their
// effects, and that every event belongs to this order and is on its topic once.
func (v reported) caused(t testing.TB, id string) (steps []string) {
	t.Helper()
	for i, e := range v.Events {
		if e.N != i+1 || e.ID == "" || e.At.IsZero() || !e.Published || e.Data.OrderID != id || e.Cause.Kind == "unknown" {
			t.Errorf("event %d: %+v", i, e)
		}
		if e.Cause.N >= e.N {
			t.Errorf("%s, the effect, stands above its cause: %d of %d", e.Type, e.Cause.N, e.N)
		}
		if e.Type != "OrderSnapshot" && e.Type != "OrderPlaced" {
			steps = append(steps, e.Type+" ← "+e.Cause.Type)
		}
	}
	return steps
}

// oneTrace checks that the events of an order form one trace. Events that a service appended for
// one event, request or update share a span that no others have, so none has the span of its cause.
func (v reported) oneTrace(t testing.TB) {
	t.Helper()
	form := regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$`)
	spans, work := map[string]string{}, map[string]string{}
	trace := ""
	for _, e := range v.Events {
		parts := form.FindStringSubmatch(e.Trace)
		if parts == nil {
			t.Errorf("%s has the traceparent %q", e.Type, e.Trace)
			continue
		}
		if trace = cmp.Or(trace, parts[1]); parts[1] != trace {
			t.Errorf("%s is in the trace %s, not in %s", e.Type, parts[1], trace)
		}
		span := parts[2]
		does := fmt.Sprintf("what %s does because of %s %s %s", e.Service, e.Cause.Kind, e.Cause.Type, e.Cause.ID)
		if other := cmp.Or(spans[does], span); other != span {
			t.Errorf("%s has the span %s, and others of %s have %s", e.Type, span, does, other)
		}
		if other := cmp.Or(work[span], does); other != does {
			t.Errorf("%s has the span %s of %s, want another for %s", e.Type, span, other, does)
		}
		spans[does], work[span] = span, does
	}
	if len(work) < 4 {
		t.Errorf("only %d spans", len(work))
	}
}

// TestTheStoryOfADeliveredOrder reads the story of a delivered order.
func TestTheStoryOfADeliveredOrder(t *testing.T) {
	s := shared(t)
	s.receive(t, "STORY-1", 5)
	id := s.place(t, "story", "STORY-1", 2)
	followed := s.must(t, "order", id, "--follow") // returns when the order has ended
	if !strings.Contains(followed, "OrderDelivered") || !strings.Contains(followed, "InventoryReserved") {
		t.Errorf("followed:\n%s", followed)
	}
	v := s.story(t, id)
	want := []string{
		"OrderCreated ← request", "PaymentCompleted ← OrderCreated", "InventoryReserved ← PaymentCompleted", "ShipmentScheduled ← InventoryReserved",
		"OrderConfirmed ← ShipmentScheduled", "ShipmentDispatched ← carrier", "OrderShipped ← ShipmentDispatched",
		"ShipmentDelivered ← carrier", "OrderDelivered ← ShipmentDelivered",
	}
	if s.isOrchestrated(t, id) {
		begin := []string{
			"OrderCreated ← request", "ChargePayment ← OrderCreated", "PaymentCompleted ← ChargePayment", "ReserveInventory ← PaymentCompleted",
			"InventoryReserved ← ReserveInventory", "ScheduleShipment ← InventoryReserved",
		}
		if reservesFirst() {
			begin = []string{
				"OrderCreated ← request", "ReserveInventory ← OrderCreated", "InventoryReserved ← ReserveInventory", "ChargePayment ← InventoryReserved",
				"PaymentCompleted ← ChargePayment", "ScheduleShipment ← PaymentCompleted",
			}
		}
		want = slices.Concat(begin, []string{
			"ShipmentScheduled ← ScheduleShipment", "ConfirmOrder ← ShipmentScheduled", "OrderConfirmed ← ConfirmOrder",
		}, want[5:])
	}
	if got := v.caused(t, id); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	v.oneTrace(t)
	if v.Order.Status != "DELIVERED" || !v.Ended || len(v.WaitsFor) != 0 || v.Money.Gateway.Amount != "20.00" || v.Money.Gateway.Refunded != "0.00" ||
		v.Money.Payment.Status != "COMPLETED" || v.Stock.Status != "SHIPPED" || v.Parcel.Status != "DELIVERED" || v.Parcel.TrackingID == "" {
		t.Errorf("%+v", v)
	}
	if out := s.must(t, "order", id[:18]); !strings.Contains(out, "waits for: nothing") { // milliseconds and more: unique to this order
		t.Error(out)
	}
	if out, err := s.command("order", "01900000-0000-7000-8000-000000000000"); err == nil || !strings.Contains(out, "there is no such order") {
		t.Errorf("an unknown order: %v\n%s", err, out)
	}
	if out := s.must(t, "logs", "--order", id); !strings.Contains(out, "order ") || strings.Contains(out, "STORY-2") {
		t.Errorf("its log:\n%s", out)
	}
}

// TestTheStoryOfARefundedOrder checks an order without goods, whose money is returned.
func TestTheStoryOfARefundedOrder(t *testing.T) {
	s := shared(t)
	id := s.place(t, "story-refunded", "STORY-NONE", 1)
	if reservesFirst() && s.isOrchestrated(t, id) {
		t.Skip("the saga reserves first, so an order without goods is not charged: TestTheUnhappyRoad")
	}
	s.awaitStatus(t, id, "CANCELLED")
	v := s.story(t, id)
	want := []string{
		"OrderCreated ← request", "PaymentCompleted ← OrderCreated", "InventoryReservationFailed ← PaymentCompleted",
		"PaymentRefunded ← InventoryReservationFailed", "OrderCancelled ← PaymentRefunded",
	}
	if s.isOrchestrated(t, id) {
		want = []string{
			"OrderCreated ← request", "ChargePayment ← OrderCreated", "PaymentCompleted ← ChargePayment", "ReserveInventory ← PaymentCompleted",
			"InventoryReservationFailed ← ReserveInventory", "RefundPayment ← InventoryReservationFailed", "PaymentRefunded ← RefundPayment",
			"CancelOrder ← PaymentRefunded", "OrderCancelled ← CancelOrder",
		}
	}
	if got := v.caused(t, id); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	v.oneTrace(t)
	if !v.Ended || v.Money.Gateway.Refunded != v.Money.Gateway.Amount || v.Money.Gateway.Amount != "10.00" || v.Stock.Status != "REJECTED" {
		t.Errorf("%+v", v)
	}
}

// TestTheStoryOfAStuckOrder checks that the story names the carrier's failure, and that --follow
// shows how the order continues.
func TestTheStoryOfAStuckOrder(t *testing.T) {
	s := shared(t)
	s.receive(t, "STORY-2", 5)
	mend := s.fault(t, "carrier", `{"match":{"customerId":"story-stuck","operation":"schedule"},"status":500}`)
	id := s.place(t, "story-stuck", "STORY-2", 1)
	var v reported
	eventually(t, 30*time.Second, "the story says that shipping's calls fail", func() bool {
		v = s.story(t, id)
		return len(v.WaitsFor) == 1 && len(v.WaitsFor[0].Because) > 0
	})
	asked := "InventoryReserved"
	if s.isOrchestrated(t, id) {
		asked = "ScheduleShipment"
	}
	if w := v.WaitsFor[0]; v.Ended || w.Service != "shipping" || w.To != "answer" || w.Event != asked {
		t.Errorf("%+v", v.WaitsFor)
	}
	if out := s.must(t, "order", id); !strings.Contains(out, "waits for: shipping to answer "+asked+" (") {
		t.Error(out)
	}

	if !composed() { // a service can be frozen separately: then its part of the story is missing
		s.must(t, "pause", "inventory")
		out, err := s.command("order", id)
		s.must(t, "resume", "inventory")
		if err == nil || !strings.Contains(out, "inventory cannot be asked") || !strings.Contains(out, "PaymentCompleted") {
			t.Errorf("with a service frozen: %v\n%s", err, out)
		}
	}

	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	follow := exec.CommandContext(t.Context(), s.shop, "order", id, "--follow", "--json", "--state", s.dir)
	follow.Dir = root
	out, err := follow.StdoutPipe()
	if err == nil {
		err = follow.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := json.NewDecoder(out)
	var last struct {
		Event struct{ Type string }
		Story *reported
	}
	first := true
	for last.Story == nil {
		if err := lines.Decode(&last); err != nil {
			t.Fatalf("follow: %v", err)
		}
		if first {
			mend() // --follow has begun
			first = false
		}
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("follow: %v", err)
	}
	if last.Story.Order.Status != "DELIVERED" {
		t.Errorf("ended as %s", last.Story.Order.Status)
	}
	if a := get(t, s.URL["order"]+"/orders/"+id); a.status != http.StatusOK || a.field(t, "status") != "DELIVERED" {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.verify(t)
}
