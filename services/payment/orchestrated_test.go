package payment_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/services/payment/internal/gatewaytest"
)

// send publishes a record of a style, twice: delivery is at least once. It returns the record's id.
func (w *world) send(style event.Style, e event.Event) (id string) {
	w.t.Helper()
	record := kafkatest.Record(w.t, w.codec, e, func(env *event.Envelope) { env.Style, id = style, env.ID.String() })
	kafkatest.Produce(w.t, w.brokers, record, record)
	return id
}

// caused lists the published events of an order with their styles and causes.
func (w *world) caused(id string) []string {
	w.t.Helper()
	var got []string
	for _, r := range kafkatest.ReadAll(w.t, w.brokers, events.TopicPaymentEvents) {
		if e := kafkatest.Envelope(w.t, r); e.Subject == id {
			got = append(got, fmt.Sprintf("%s@%d %s because of %s", e.Type, e.AggregateVersion, e.Style, e.CausationID))
		}
	}
	return got
}

func (w *world) expectCaused(id string, want ...string) {
	w.t.Helper()
	kafkatest.Eventually(w.t, fmt.Sprint(want), func() bool { return len(w.caused(id)) >= len(want) })
	if diff := cmp.Diff(want, w.caused(id)); diff != "" {
		w.t.Errorf("published (-want +got):\n%s", diff)
	}
}

func (w *world) awaitBody(id, part string) {
	w.t.Helper()
	kafkatest.Eventually(w.t, part, func() bool {
		_, body := get(w.t, w.url+"/payments/"+id)
		return strings.Contains(body, part)
	})
}

func (w *world) awaitMetric(line string) {
	w.t.Helper()
	kafkatest.Eventually(w.t, line, func() bool {
		_, metrics := get(w.t, w.url+"/metrics")
		return strings.Contains(metrics, line)
	})
}

// TestOrchestratedSaga runs the whole service with commands. Each command has one answer, although each
// record is delivered twice, and the events that start the steps of the other style have no effect.
func TestOrchestratedSaga(t *testing.T) {
	t.Parallel()
	w, _, stop := newWorld(t)
	newID := func() string { return uuid.Must(uuid.NewV7()).String() }
	now := time.Now()
	created := func(id string) events.OrderCreated {
		return events.OrderCreated{
			OrderID: id, Customer: events.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
			TotalAmount: 2999, Currency: "EUR", SagaStyle: "orchestrated", ConfirmBy: now, OccurredAt: now,
		}
	}
	charge := func(id string) events.ChargePayment {
		return events.ChargePayment{OrderID: id, CustomerID: "cust-7", Amount: 2999, Currency: "EUR", OccurredAt: now}
	}
	refund := func(id string) events.RefundPayment {
		return events.RefundPayment{OrderID: id, Reason: "customer", OccurredAt: now}
	}

	// The events of an orchestrated order leave no row and make no call.
	order := newID()
	w.send(event.Orchestrated, created(order))
	w.send(event.Orchestrated, events.InventoryReservationFailed{OrderID: order, Reason: "out_of_stock", OccurredAt: now})
	w.send(event.Orchestrated, events.ShipmentFailed{OrderID: order, Reason: "address_not_served", OccurredAt: now})
	w.send(event.Orchestrated, events.ShipmentCancelled{OrderID: order, Reason: "customer", OccurredAt: now})
	for name, topic := range map[string]string{
		"OrderCreated": events.TopicOrderEvents, "InventoryReservationFailed": events.TopicInventoryEvents,
		"ShipmentFailed": events.TopicShippingEvents, "ShipmentCancelled": events.TopicShippingEvents,
	} {
		w.awaitMetric(fmt.Sprintf(`eventshop_consumer_records_total{group="payment",outcome="other_style",topic=%q,type=%q} 2`, topic, name))
	}
	if status, body := get(t, w.url+"/payments/"+order); status != http.StatusNotFound || w.gateway.Calls(gatewaytest.Charge) != 0 {
		t.Fatalf("%d charges, %d %s", w.gateway.Calls(gatewaytest.Charge), status, body)
	}

	charged := w.send(event.Orchestrated, charge(order))
	w.await(order, "COMPLETED")
	w.awaitBody(order, `"saga":"orchestrated"`)
	repeated := w.send(event.Orchestrated, charge(order)) // sent again under a new id
	w.expectCaused(order, "PaymentCompleted@1 orchestrated because of "+charged, "PaymentCommandAnswered@2 orchestrated because of "+repeated)
	undone := w.send(event.Orchestrated, refund(order))
	w.await(order, "REFUNDED")

	stopped := newID()
	first := w.send(event.Orchestrated, refund(stopped))
	w.await(stopped, "VOIDED")
	late := w.send(event.Orchestrated, charge(stopped))
	w.expectCaused(stopped, "PaymentVoided@1 orchestrated because of "+first, "PaymentCommandAnswered@2 orchestrated because of "+late)

	// Both contradictions: a command in a choreographed saga, and an event of the choreography in an
	// orchestrated one. The field of OrderCreated counts as its header does.
	choreographed, itself := w.create(), newID()
	w.await(choreographed, "COMPLETED")
	w.send(event.Orchestrated, refund(choreographed))
	w.awaitBody(choreographed, "RefundPayment says orchestrated, and the order's saga is choreographed")
	w.send(event.Choreographed, events.ShipmentCancelled{OrderID: order, Reason: "customer", OccurredAt: now})
	w.awaitBody(order, "ShipmentCancelled says choreographed, and the order's saga is orchestrated")
	w.send(event.Choreographed, created(itself))
	w.awaitBody(itself, "OrderCreated says orchestrated, and the order's saga is choreographed")

	w.await(choreographed, "COMPLETED")
	w.expectReported(choreographed, "PaymentCompleted@1")
	w.expectCaused(order, "PaymentCompleted@1 orchestrated because of "+charged, "PaymentCommandAnswered@2 orchestrated because of "+repeated,
		"PaymentRefunded@3 orchestrated because of "+undone)
	if n := w.gateway.Calls(gatewaytest.Charge); n != 2 { // of the two orders that were paid
		t.Errorf("%d charges: %v", n, w.gateway.Ledger())
	}
	if err := stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}
