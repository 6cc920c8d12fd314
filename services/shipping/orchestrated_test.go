package shipping_test

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
)

// send publishes a record of a style, twice: delivery is at least once. It returns the record's id.
func (s *stack) send(style event.Style, e event.Event) (id string) {
	s.t.Helper()
	record := kafkatest.Record(s.t, s.codec, e, func(env *event.Envelope) { env.Style, id = style, env.ID.String() })
	kafkatest.Produce(s.t, s.cfg.Brokers, record, record)
	return id
}

// styles lists the styles of an order's events on shipping.events, each once.
func (s *stack) styles(orderID string) map[event.Style]bool {
	s.t.Helper()
	styles := map[event.Style]bool{}
	for _, r := range kafkatest.ReadAll(s.t, s.cfg.Brokers, events.TopicShippingEvents) {
		if string(r.Key) == orderID {
			styles[kafkatest.Envelope(s.t, r).Style] = true
		}
	}
	return styles
}

func (s *stack) waitForAttention(orderID, part string) {
	s.t.Helper()
	kafkatest.Eventually(s.t, part, func() bool {
		_, _, body := s.get("/shipments/" + orderID)
		attention, _ := body["attention"].(string)
		return body["needsAttention"] == true && strings.Contains(attention, part)
	})
}

// TestOrchestratedSaga runs the whole service with commands. Each command has one answer, although each
// record is delivered twice, and the events that start the steps of the other style have no effect.
func TestOrchestratedSaga(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	newID := func() string { return uuid.Must(uuid.NewV7()).String() }
	now := time.Now()
	schedule := func(id string) events.ScheduleShipment {
		return events.ScheduleShipment{
			OrderID: id, CustomerID: "cust-7", OccurredAt: now, Items: []events.ParcelItem{{SKU: "WIDGET-01", Quantity: 2}},
			Address: events.DeliveryAddress{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA", Country: "GB"},
		}
	}
	cancel := func(id string) events.CancelShipment {
		return events.CancelShipment{OrderID: id, Reason: "customer", OccurredAt: now}
	}
	orchestrated := func(id string) events.OrderCreated {
		e := created(id)
		e.SagaStyle = "orchestrated"
		return e
	}

	// The events of an orchestrated order leave no row and make no call.
	order := newID()
	for _, e := range []event.Event{
		orchestrated(order), reserved(order),
		events.PaymentFailed{OrderID: order, Reason: "insufficient_funds", OccurredAt: now},
		events.InventoryReservationFailed{OrderID: order, Reason: "out_of_stock", OccurredAt: now},
		events.OrderCancellationRequested{OrderID: order, Reason: "customer", OccurredAt: now},
	} {
		s.send(event.Orchestrated, e)
		typ, _ := events.Catalogue().Lookup(e.EventType())
		line := fmt.Sprintf(`eventshop_consumer_records_total{group="shipping",outcome="other_style",topic=%q,type=%q} 2`, typ.Topic, typ.Name)
		kafkatest.Eventually(t, line, func() bool { return strings.Contains(s.metrics(), line) })
	}
	if status, _, _ := s.get("/shipments/" + order); status != http.StatusNotFound || s.carrier.Status("shipment-"+order) != "" {
		t.Fatalf("status %d, the carrier has %q", status, s.carrier.Status("shipment-"+order))
	}

	first := s.send(event.Orchestrated, schedule(order))
	s.waitFor(order, "SCHEDULED")
	again := s.send(event.Orchestrated, schedule(order)) // sent again under a new id
	s.wantReported(order, "1 ShipmentScheduled because of "+first, "2 ShipmentCommandAnswered because of "+again)
	s.carrier.Dispatch(t, "shipment-"+order, now)
	s.waitFor(order, "DISPATCHED")
	late := s.send(event.Orchestrated, cancel(order))
	s.wantReported(order, "1 ShipmentScheduled because of "+first, "2 ShipmentCommandAnswered because of "+again,
		"3 ShipmentDispatched because of carrier-update-1", "4 ShipmentCancellationRejected because of "+late)

	stopped := newID()
	cancelled := s.send(event.Orchestrated, cancel(stopped))
	s.waitFor(stopped, "CANCELLED")
	refused := s.send(event.Orchestrated, schedule(stopped))
	s.wantReported(stopped, "1 ShipmentCancelled because of "+cancelled, "2 ShipmentCommandAnswered because of "+refused)

	// Both contradictions: a command in a choreographed saga, and an event of the choreography in an
	// orchestrated one. The field of OrderCreated counts as its header does.
	choreographed, itself := newID(), newID()
	s.send(event.Choreographed, created(choreographed))
	s.send(event.Choreographed, reserved(choreographed))
	s.waitFor(choreographed, "SCHEDULED")
	s.send(event.Orchestrated, cancel(choreographed))
	s.waitForAttention(choreographed, "CancelShipment says orchestrated, and the order's saga is choreographed")
	s.send(event.Choreographed, events.OrderCancellationRequested{OrderID: order, Reason: "customer", OccurredAt: now})
	s.waitForAttention(order, "OrderCancellationRequested says choreographed, and the order's saga is orchestrated")
	s.send(event.Choreographed, orchestrated(itself))
	s.waitForAttention(itself, "OrderCreated says orchestrated, and the order's saga is choreographed")

	s.waitFor(choreographed, "SCHEDULED")
	if got := s.carrier.Status("shipment-" + choreographed); got != "scheduled" {
		t.Errorf("the carrier has %q", got)
	}
	if got := s.reported(choreographed); len(got) != 1 {
		t.Errorf("published %q, want one event", got)
	}
	for id, want := range map[string]event.Style{order: event.Orchestrated, stopped: event.Orchestrated, choreographed: event.Choreographed} {
		if diff := cmp.Diff(map[event.Style]bool{want: true}, s.styles(id)); diff != "" {
			t.Errorf("styles of %s (-want +got):\n%s", id, diff)
		}
	}
	if n := len(s.reported(order)); n != 4 {
		t.Errorf("%d events after the contradiction", n)
	}
	s.end()
}
