package shipping_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/participant/participanttest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/shipping"
	"eventshop.example/services/shipping/internal/carrier/carriertest"
)

// stack is the whole service as its main function runs it, with a broker, a database, a registry
// and a carrier.
type stack struct {
	t       *testing.T
	cfg     shipping.Config
	carrier *carriertest.Carrier
	codec   *schema.Codec
	stop    context.CancelFunc
	ended   chan error
}

func newStack(t *testing.T) *stack {
	t.Helper()
	registry, carrier := schematest.Start(t), carriertest.Start(t)
	s := &stack{t: t, carrier: carrier, codec: registry.Codec(events.Catalogue())}
	db := pgtest.NewSeparate(t, shipping.Components()...)
	db.Migrate(t)
	db.Check(t)
	s.cfg = shipping.Config{
		Config: participant.Config{
			Addr: participanttest.Address(t), DatabaseURL: db.AppURL, Migrations: postgres.MigrationsWait,
			Brokers: kafkatest.Start(t, events.Topics()...), RegistryURL: registry.URL,
		},
		CarrierURL: carrier.URL, CarrierTimeout: 5 * time.Second,
		TrackEvery: 10 * time.Millisecond,
	}
	return s
}

func (s *stack) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.stop, s.ended = cancel, make(chan error, 1)
	go func() { s.ended <- shipping.Run(ctx, s.cfg) }()
	s.t.Cleanup(cancel)
	kafkatest.Eventually(s.t, "readiness", func() bool {
		status, _, _ := s.get("/readyz")
		return status == http.StatusOK
	})
}

func (s *stack) end() {
	s.t.Helper()
	s.stop()
	select {
	case err := <-s.ended:
		if err != nil {
			s.t.Fatalf("Run = %v", err)
		}
	case <-time.After(30 * time.Second):
		s.t.Fatal("the service did not stop in 30 s")
	}
}

// get returns status 0 while the service does not listen.
func (s *stack) get(path string) (status int, contentType string, body map[string]any) {
	s.t.Helper()
	res, err := http.Get("http://" + s.cfg.Addr + path)
	if err != nil {
		return 0, "", nil
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		s.t.Fatalf("GET %s: answer is no JSON: %v", path, err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), body
}

func (s *stack) metrics() string {
	s.t.Helper()
	res, err := http.Get("http://" + s.cfg.Addr + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

func (s *stack) waitFor(orderID, state string) {
	s.t.Helper()
	kafkatest.Eventually(s.t, orderID+" to be "+state, func() bool {
		status, _, body := s.get("/shipments/" + orderID)
		return status == http.StatusOK && body["status"] == state
	})
}

// told lists type, version and causation id of an order's events on shipping.events.
func (s *stack) reported(orderID string) []string {
	s.t.Helper()
	reported := []string{}
	for _, r := range kafkatest.ReadAll(s.t, s.cfg.Brokers, events.TopicShippingEvents) {
		e := kafkatest.Envelope(s.t, r)
		if string(r.Key) != orderID {
			continue
		}
		if e.Subject != orderID || e.CorrelationID != orderID || e.Source != "/eventshop/shipping" {
			s.t.Errorf("envelope of %s: %+v", e.Type, e)
		}
		reported = append(reported, fmt.Sprintf("%d %s because of %s", e.AggregateVersion, e.Type, e.CausationID))
	}
	return reported
}

func (s *stack) wantReported(orderID string, want ...string) {
	s.t.Helper()
	kafkatest.Eventually(s.t, "the events of "+orderID, func() bool { return len(s.reported(orderID)) >= len(want) })
	if diff := cmp.Diff(want, s.reported(orderID)); diff != "" {
		s.t.Fatalf("events (-want +got):\n%s", diff)
	}
}

func created(orderID string) events.OrderCreated {
	return events.OrderCreated{
		OrderID:         orderID,
		Customer:        events.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
		ShippingAddress: events.Address{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA", Country: "GB"},
		Items:           []events.OrderItem{{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 2999}},
		TotalAmount:     5998, Currency: "GBP", ConfirmBy: time.Now().Add(time.Minute), OccurredAt: time.Now(),
	}
}

func reserved(orderID string) events.InventoryReserved {
	return events.InventoryReserved{OrderID: orderID, ReservationID: "res-1", OccurredAt: time.Now()}
}

func TestFromReservationToDelivery(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	order := uuid.Must(uuid.NewV7()).String()
	reservation := kafkatest.Record(t, s.codec, reserved(order))
	kafkatest.Produce(t, s.cfg.Brokers, kafkatest.Record(t, s.codec, created(order)), reservation)
	s.waitFor(order, "SCHEDULED")

	// The broker delivers the record again, and the service restarts in between.
	kafkatest.Produce(t, s.cfg.Brokers, reservation)
	s.end()
	s.carrier.Dispatch(t, "shipment-"+order, time.Now())
	s.start()
	s.waitFor(order, "DISPATCHED")
	s.carrier.Deliver(t, "shipment-"+order, time.Now())
	s.waitFor(order, "DELIVERED")

	// Kafka decided which of the two facts arrived first.
	first := s.reported(order)
	cause := kafkatest.Envelope(t, reservation).ID.String()
	if len(first) > 0 && !strings.HasSuffix(first[0], cause) {
		cause = first[0][strings.LastIndex(first[0], " ")+1:]
	}
	s.wantReported(order,
		"1 ShipmentScheduled because of "+cause,
		"2 ShipmentDispatched because of carrier-update-1",
		"3 ShipmentDelivered because of carrier-update-2")
	s.end()
}

func TestCancellationOvertakesEverything(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	order := uuid.Must(uuid.NewV7()).String()
	request := kafkatest.Record(t, s.codec, events.OrderCancellationRequested{OrderID: order, Reason: "deadline", OccurredAt: time.Now()})
	kafkatest.Produce(t, s.cfg.Brokers, request)
	s.waitFor(order, "CANCELLED")
	kafkatest.Produce(t, s.cfg.Brokers, kafkatest.Record(t, s.codec, reserved(order)), kafkatest.Record(t, s.codec, created(order)))
	kafkatest.Eventually(t, "the late steps to be refused", func() bool {
		metrics := s.metrics()
		return strings.Contains(metrics, `eventshop_shipment_decisions_total{action="refuse",input="OrderCreated"} 1`) &&
			strings.Contains(metrics, `eventshop_shipment_decisions_total{action="refuse",input="InventoryReserved"} 1`)
	})
	s.wantReported(order, "1 ShipmentCancelled because of "+kafkatest.Envelope(t, request).ID.String())
	if got := s.carrier.Status("shipment-" + order); got != "cancelled" {
		t.Fatalf("carrier has %q", got)
	}
	s.end()
}

func TestReadAPI(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	order := uuid.Must(uuid.NewV7()).String()
	kafkatest.Produce(t, s.cfg.Brokers, kafkatest.Record(t, s.codec, created(order)), kafkatest.Record(t, s.codec, reserved(order)))
	s.waitFor(order, "SCHEDULED")
	_, _, body := s.get("/shipments/" + strings.ToUpper(order))
	delete(body, "createdAt")
	delete(body, "updatedAt")
	want := map[string]any{
		"orderId": order, "status": "SCHEDULED", "saga": "choreographed", "version": 1.0, "needsAttention": false, "carrier": "test-express", "shipmentId": "shp-1", "trackingId": "T1",
		"shippingAddress": map[string]any{"street": "123 Babbage Lane", "city": "London", "postalCode": "SW1A 1AA", "country": "GB"},
		"items":           []any{map[string]any{"sku": "WIDGET-01", "quantity": 2.0}},
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Fatalf("shipment (-want +got):\n%s", diff)
	}
	for path, want := range map[string]int{
		"/shipments/" + uuid.NewString():   404,
		"/shipments/not-an-id":             400,
		"/shipments/" + order + "%00":      400,
		"/shipments/%7B" + order + "%7D":   400,
		"/shipments/" + order + "/parcels": 404,
		"/parcels":                         404,
	} {
		status, contentType, problem := s.get(path)
		if status != want || contentType != "application/problem+json" || problem["status"] != float64(want) {
			t.Errorf("GET %s = %d %s %v, want %d", path, status, contentType, problem, want)
		}
	}
	res, err := http.Post("http://"+s.cfg.Addr+"/shipments/"+order, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST = %d", res.StatusCode)
	}
	s.end()
}

func TestConfigNamesWhatIsMissing(t *testing.T) {
	_, err := participant.FromEnv[shipping.Config](func(name string) (string, bool) {
		return map[string]string{"ADDR": ":0", "KAFKA_BROKERS": "a:1,b:2", "TRACK_EVERY": "soon",
			"CARRIER_BREAKER_FAILURES": "0", "CARRIER_BREAKER_WINDOW": "60", "CARRIER_BREAKER_OPEN_FOR": "-1s"}[name], true
	})
	for _, name := range []string{
		"DATABASE_URL", "SCHEMA_REGISTRY_URL", "CARRIER_URL", "TRACK_EVERY",
		"CARRIER_BREAKER_FAILURES", "CARRIER_BREAKER_WINDOW", "CARRIER_BREAKER_OPEN_FOR",
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v does not name %s", err, name)
		}
	}
	if err != nil && strings.Contains(err.Error(), "KAFKA_BROKERS") {
		t.Errorf("error %v names KAFKA_BROKERS, which is right", err)
	}
}
