package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/lab/plant"
)

// The tests of this file are sections of ARCHITECTURE.md, with the names of their headings.

// saga is an order as the read model has it.
type saga struct {
	Status       string
	Cancellation struct{ Reason string }
	Timeline     []struct{ Type, Service string }
}

func (s *stack) saga(t testing.TB, orderID string) saga {
	t.Helper()
	var v saga
	a, err := send(t.Context(), http.MethodGet, s.URL["projection"]+"/orders/"+orderID, "")
	if err != nil || a.status == http.StatusNotFound {
		return v
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return v
}

func (v saga) has(types ...string) bool {
	for _, typ := range types {
		if !slices.ContainsFunc(v.Timeline, func(e struct{ Type, Service string }) bool { return e.Type == typ }) {
			return false
		}
	}
	return true
}

func (v saga) count(typ string) int {
	n := 0
	for _, e := range v.Timeline {
		if e.Type == typ {
			n++
		}
	}
	return n
}

// awaitSaga waits until the read model shows the status and all the steps.
func (s *stack) awaitSaga(t testing.TB, orderID, status string, steps ...string) saga {
	t.Helper()
	var v saga
	eventually(t, time.Minute, "the read model shows "+status, func() bool {
		v = s.saga(t, orderID)
		return v.Status == status && v.has(steps...)
	})
	return v
}

func (s *stack) place(t testing.TB, customer, sku string, quantity int) string {
	t.Helper()
	a := post(t, s.URL["order"]+"/orders", orderBody(customer, sku, quantity))
	if a.status != http.StatusCreated {
		t.Fatalf("place order: %d %s", a.status, a.body)
	}
	return a.field(t, "orderId")
}

// isOrchestrated reports whether an order's saga has a coordinator.
func (s *stack) isOrchestrated(t testing.TB, orderID string) bool {
	t.Helper()
	return get(t, s.URL["order"]+"/orders/"+orderID).field(t, "saga") == "orchestrated"
}

func TestLifeOfAnOrder(t *testing.T) {
	s := shared(t)
	s.receive(t, "LIFE-1", 5)
	id := s.place(t, "life", "LIFE-1", 2)
	s.awaitStatus(t, id, "DELIVERED")
	v := s.awaitSaga(t, id, "DELIVERED", "OrderCreated", "PaymentCompleted", "InventoryReserved", "ShipmentScheduled",
		"OrderConfirmed", "ShipmentDispatched", "OrderShipped", "ShipmentDelivered", "OrderDelivered")
	if len(v.Timeline) != 9 {
		t.Errorf("%d steps, want 9: %+v", len(v.Timeline), v.Timeline)
	}
	if a := get(t, s.URL["payment"]+"/payments/"+id); a.field(t, "status") != "COMPLETED" {
		t.Errorf("payment: %s", a.body)
	}
	if a := get(t, s.URL["shipping"]+"/shipments/"+id); a.field(t, "status") != "DELIVERED" {
		t.Errorf("shipment: %s", a.body)
	}
	eventually(t, 30*time.Second, "the pieces are booked out", func() bool {
		return get(t, s.URL["inventory"]+"/reservations/"+id).field(t, "status") == "SHIPPED"
	})
	eventually(t, 30*time.Second, "the customer's mail arrives", func() bool { return len(s.mails(t, id)) > 0 })
	want := "Dear Ada Lovelace,\n\nthank you for your order " + id + ":\n\n  2 x LIFE-1 at 10.00 GBP\n\nTotal: 20.00 GBP\n"
	if got := s.mails(t, id); len(got) != 1 || got[0].Text != want || got[0].To != "ada@example.com" {
		t.Errorf("the mails of the order are %+v, want one with the text %q", got, want)
	}
	if a := get(t, s.URL["order"]+"/orders/"+id+"?version=2"); a.field(t, "status") != "PENDING" {
		t.Errorf("the order as of version 2: %s", a.body)
	}
}

func TestTheUnhappyRoad(t *testing.T) {
	s := shared(t)
	s.receive(t, "UNHAPPY-1", 5)
	s.fault(t, "carrier", `{"match":{"customerId":"unhappy-waits"},"dispatchAfterMs":3600000}`)
	s.fault(t, "carrier", `{"match":{"customerId":"unhappy-remote","operation":"schedule"},"refuse":"address_not_served"}`)
	s.fault(t, "gateway", `{"match":{"customerId":"unhappy-poor"},"decline":"insufficient_funds"}`)

	for _, c := range []struct {
		name, customer, sku string
		cancel              bool
		reason              string
		steps               []string
		payment, held       string
	}{
		{"customer cancels", "unhappy-waits", "UNHAPPY-1", true, "customer",
			[]string{"OrderConfirmed", "OrderCancellationRequested", "ShipmentCancelled", "InventoryReleased", "PaymentRefunded", "OrderCancelled"},
			"REFUNDED", "RELEASED"},
		{"card declined", "unhappy-poor", "UNHAPPY-1", false, "payment_failed",
			[]string{"PaymentFailed", "OrderCancelled"}, "FAILED", "CANCELLED"},
		{"out of stock", "unhappy", "UNHAPPY-NONE", false, "out_of_stock",
			[]string{"PaymentCompleted", "InventoryReservationFailed", "PaymentRefunded", "OrderCancelled"}, "REFUNDED", "REJECTED"},
		{"carrier refuses", "unhappy-remote", "UNHAPPY-1", false, "shipment_failed",
			[]string{"InventoryReserved", "ShipmentFailed", "InventoryReleased", "PaymentRefunded", "OrderCancelled"}, "REFUNDED", "RELEASED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := s.place(t, c.customer, c.sku, 1)
			if c.cancel {
				s.awaitStatus(t, id, "CONFIRMED")
				if a := post(t, s.URL["order"]+"/orders/"+id+"/cancel", `{}`); a.status != http.StatusAccepted {
					t.Fatalf("cancel: %d %s", a.status, a.body)
				}
			}
			if reservesFirst() && s.isOrchestrated(t, id) {
				switch c.reason {
				case "out_of_stock":
					c.steps, c.payment = []string{"InventoryReservationFailed", "OrderCancelled"}, "404" // it was not charged
				case "payment_failed":
					c.steps, c.held = []string{"InventoryReserved", "PaymentFailed", "InventoryReleased", "OrderCancelled"}, "RELEASED"
				}
			}
			s.awaitStatus(t, id, "CANCELLED")
			if v := s.awaitSaga(t, id, "CANCELLED", c.steps...); v.Cancellation.Reason != c.reason {
				t.Errorf("cancelled for %q, want %q", v.Cancellation.Reason, c.reason)
			}
			var owner saga // the same thing has the same name there
			if a := get(t, s.URL["order"]+"/orders/"+id); json.Unmarshal(a.body, &owner) != nil || owner.Cancellation.Reason != c.reason {
				t.Errorf("the order service says %s, want cancellation %q", a.body, c.reason)
			}
			if got := get(t, s.URL["payment"]+"/payments/"+id).field(t, "status"); got != c.payment {
				t.Errorf("payment is %s, want %s", got, c.payment)
			}
			held := c.held
			if held == "CANCELLED" && s.isOrchestrated(t, id) {
				held = "404" // no command is on its way that a tombstone would have to refuse
			}
			eventually(t, 30*time.Second, "the reservation is "+held, func() bool {
				return get(t, s.URL["inventory"]+"/reservations/"+id).field(t, "status") == held
			})
		})
	}
}

// TestTheSameMessageTwice writes copies of all events of an order to their topics, as a relay that
// lost its acknowledgements would, and posts the order again.
func TestTheSameMessageTwice(t *testing.T) {
	s := shared(t)
	s.receive(t, "TWICE-1", 5)
	key := "twice-" + t.Name()
	first := post(t, s.URL["order"]+"/orders", orderBody("twice", "TWICE-1", 1), "Idempotency-Key", key)
	id := first.field(t, "orderId")
	s.awaitStatus(t, id, "DELIVERED")
	before := s.awaitSaga(t, id, "DELIVERED", "OrderDelivered")

	reader, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeTopics("order.events", "payment.events", "inventory.events", "shipping.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var copies []*kgo.Record
	for len(copies) < 9 && t.Context().Err() == nil {
		reader.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
			if string(r.Key) == id {
				copies = append(copies, &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers})
			}
		})
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka...), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for range 2 {
		if err := producer.ProduceSync(t.Context(), copies...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	again := post(t, s.URL["order"]+"/orders", orderBody("twice", "TWICE-1", 1), "Idempotency-Key", key)
	if string(again.body) != string(first.body) {
		t.Errorf("the answer changed:\n%s\n%s", first.body, again.body)
	}
	s.verify(t) // waits until every group has read the copies
	after := s.saga(t, id)
	if len(after.Timeline) != len(before.Timeline) || after.count("PaymentCompleted") != 1 {
		t.Errorf("the copies had an effect: %+v", after.Timeline)
	}
	a := get(t, s.URL["inventory"]+"/stock/TWICE-1")
	if a.field(t, "shipped") != "1" || a.field(t, "available") != "4" {
		t.Errorf("stock: %s", a.body)
	}
}

// TestARecordThatFails makes the projection refuse one order's rows until its attempts are used up.
// The order's later records wait behind the dead letter, another order continues, and resubmitting
// twice applies all of them in order.
func TestARecordThatFails(t *testing.T) {
	s := shared(t)
	s.receive(t, "FAILS-1", 5)
	s.fault(t, "carrier", `{"match":{"customerId":"fails"},"dispatchAfterMs":1200,"deliverAfterMs":100}`)
	id := s.place(t, "fails", "FAILS-1", 1)
	s.awaitSaga(t, id, "CONFIRMED", "OrderConfirmed")
	remove, err := plant.Refuse(t.Context(), s.DSN["projection"], plant.Fault{Table: "timeline", Column: "order_id", Value: id})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.unplant(t, "projection") })
	s.awaitStatus(t, id, "DELIVERED") // the saga does not need the read model
	other := s.place(t, "fails-not", "FAILS-1", 1)
	s.awaitSaga(t, other, "CONFIRMED", "OrderConfirmed")
	var letters int
	eventually(t, 45*time.Second, "both topics' heads are given up", func() bool {
		s.query(t, "projection", `SELECT count(*) FROM dead_letters WHERE status = 'open' AND record_key = '`+id+`'`, &letters)
		return letters == 2
	})
	if out := s.must(t, "saga", "list"); !strings.Contains(out, id) {
		t.Errorf("the order that is held is not listed:\n%s", out)
	}
	if v := s.saga(t, id); v.has("ShipmentDelivered") || v.has("OrderDelivered") {
		t.Errorf("a later event overtook the one that failed: %+v", v.Timeline)
	}
	s.verify(t) // nothing is lost: it waits for a decision
	if err := remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.must(t, "dlq", "resubmit", "--all", "--group", "projection", "--key", id, "--wait", "--reason", "the bug is mended")
	s.awaitSaga(t, id, "DELIVERED", "ShipmentDispatched", "OrderShipped", "ShipmentDelivered", "OrderDelivered")
	s.query(t, "projection", `SELECT count(*) FROM dead_letters WHERE status = 'resolved' AND record_key = '`+id+`'`, &letters)
	if letters != 2 {
		t.Errorf("%d dead letters are resolved, want 2", letters)
	}
	if v := s.saga(t, id); v.count("OrderDelivered") != 1 || v.count("ShipmentDispatched") != 1 {
		t.Errorf("steps shown twice: %+v", v.Timeline)
	}
	s.verify(t)
}
