package orchestrator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/participant/participanttest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/orchestrator"
)

// run runs the service as its main function does, until stop is called.
func run(t *testing.T, cfg orchestrator.Config) (url string, stop func()) {
	t.Helper()
	cfg.Addr = participanttest.Address(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- orchestrator.Run(ctx, cfg) }()
	t.Cleanup(cancel)
	kafkatest.Eventually(t, "the service to be ready", func() bool {
		return participanttest.Get(cfg.Addr, "/readyz").Status == http.StatusOK
	})
	return "http://" + cfg.Addr, func() {
		t.Helper()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run = %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the service did not stop in 30 s")
		}
	}
}

// world is what the service needs.
func world(t *testing.T) (orchestrator.Config, *schema.Codec) {
	t.Helper()
	registry := schematest.Start(t)
	db := pgtest.NewSeparate(t, orchestrator.Components()...)
	db.Migrate(t)
	return orchestrator.Config{Definition: 1, Config: participant.Config{
		DatabaseURL: db.AppURL, Migrations: postgres.MigrationsWait,
		Brokers: kafkatest.Start(t, events.Topics()...), RegistryURL: registry.URL,
	}}, registry.Codec(events.Catalogue())
}

// sagaIs waits until the saga is in a state, and returns the answer.
func sagaIs(t *testing.T, url, order, state string) map[string]any {
	t.Helper()
	var body map[string]any
	kafkatest.Eventually(t, "the saga to be "+state, func() bool {
		res, err := http.Get(url + "/sagas/" + order)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		body = nil
		return json.NewDecoder(res.Body).Decode(&body) == nil && body["status"] == state
	})
	return body
}

// orchestrated sets the style of an event.
func orchestrated(e *event.Envelope) { e.Style = event.Orchestrated }

func placed(order string) events.OrderCreated {
	return events.OrderCreated{
		OrderID: order, Customer: events.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
		ShippingAddress: events.Address{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA", Country: "GB"},
		Items:           []events.OrderItem{{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 2999}},
		TotalAmount:     5998, Currency: "GBP", ConfirmBy: time.Now().Add(time.Minute), SagaStyle: string(event.Orchestrated), OccurredAt: time.Now(),
	}
}

// TestFromOrderToDelivery: through Kafka, each event twice, with a restart in the middle and two processes
// after it. Choreographed orders are none of its business.
func TestFromOrderToDelivery(t *testing.T) {
	t.Parallel()
	cfg, codec := world(t)
	order, other := uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
	take := func(data event.Event) {
		t.Helper()
		r := kafkatest.Record(t, codec, data, orchestrated)
		kafkatest.Produce(t, cfg.Brokers, r)
		kafkatest.Produce(t, cfg.Brokers, r)
	}
	url, stop := run(t, cfg)
	kafkatest.Produce(t, cfg.Brokers, kafkatest.Record(t, codec, placed(other)))
	take(placed(order))
	sagaIs(t, url, order, "CHARGING")
	take(events.PaymentCompleted{OrderID: order, PaymentID: "p", Amount: 5998, Currency: "GBP", OccurredAt: time.Now()})
	sagaIs(t, url, order, "RESERVING")
	stop()

	take(events.InventoryReserved{OrderID: order, ReservationID: "r", OccurredAt: time.Now()}) // waits in Kafka
	url, stop = run(t, cfg)
	_, stopSecond := run(t, cfg)
	sagaIs(t, url, order, "SCHEDULING")
	take(events.ShipmentScheduled{OrderID: order, ShipmentID: "s", TrackingID: "TR-1", Carrier: "c", OccurredAt: time.Now()})
	sagaIs(t, url, order, "CONFIRMING")
	take(events.OrderCommandAnswered{OrderID: order, Command: "ConfirmOrder", Outcome: "unchanged", State: "CONFIRMED", OccurredAt: time.Now()})
	sagaIs(t, url, order, "CONFIRMED")
	take(events.ShipmentDispatched{OrderID: order, ShipmentID: "s", TrackingID: "TR-1", DispatchedAt: time.Now(), OccurredAt: time.Now()})
	sagaIs(t, url, order, "SHIPPED")
	take(events.ShipmentDelivered{OrderID: order, ShipmentID: "s", DeliveredAt: time.Now(), OccurredAt: time.Now()})
	saga := sagaIs(t, url, order, "DELIVERED")

	var sent, logged []string
	kafkatest.Eventually(t, "four commands", func() bool {
		sent = nil
		for _, topic := range []string{events.TopicPaymentCommands, events.TopicInventoryCommands, events.TopicShippingCommands, events.TopicOrderCommands} {
			for _, r := range kafkatest.ReadAll(t, cfg.Brokers, topic) {
				e := kafkatest.Envelope(t, r)
				if e.Style != event.Orchestrated || e.Source != "/eventshop/orchestrator" || string(r.Key) != order || e.CorrelationID != order {
					t.Errorf("%s: %+v", topic, e)
				}
				sent = append(sent, fmt.Sprintf("%s@%d %s", e.Type, e.AggregateVersion, e.ID))
			}
		}
		return len(sent) >= 4
	})
	for _, l := range saga["log"].([]any) {
		if line := l.(map[string]any); line["command"] != nil {
			logged = append(logged, fmt.Sprintf("%s@%d %s", line["command"], len(logged)+1, line["commandId"]))
		}
	}
	if diff := cmp.Diff(logged, sent); diff != "" || len(sent) != 4 || !strings.HasPrefix(sent[3], "ConfirmOrder@4 ") {
		t.Errorf("commands (-log +topics):\n%s", diff)
	}
	if a := participanttest.Get(strings.TrimPrefix(url, "http://"), "/sagas/"+other); a.Status != http.StatusNotFound {
		t.Errorf("the saga of a choreographed order: %+v", a)
	}
	stopSecond()
	stop()
}

// TestTheDefinitionIsSwitched: processes with both settings run at once. The saga that began under
// definition 1 ends under it at a process that begins sagas under definition 2.
func TestTheDefinitionIsSwitched(t *testing.T) {
	t.Parallel()
	cfg, codec := world(t)
	take := func(data event.Event) {
		kafkatest.Produce(t, cfg.Brokers, kafkatest.Record(t, codec, data, orchestrated))
	}
	before, after := uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
	url, stop := run(t, cfg)
	take(placed(before))
	sagaIs(t, url, before, "CHARGING")
	newer := cfg
	newer.Definition = 0
	url, stopNewer := run(t, newer)
	stop()
	take(placed(after))
	sagaIs(t, url, after, "RESERVING")
	take(events.InventoryReserved{OrderID: after, ReservationID: "r", OccurredAt: time.Now()})
	take(events.PaymentFailed{OrderID: before, Reason: "insufficient_funds", OccurredAt: time.Now()})
	if saga := sagaIs(t, url, after, "CHARGING"); saga["definition"] != 2.0 {
		t.Errorf("began under %v", saga["definition"])
	}
	sagaIs(t, url, before, "CLOSING")
	take(events.OrderCancelled{OrderID: before, Reason: "payment_failed", OccurredAt: time.Now()})
	if saga := sagaIs(t, url, before, "CANCELLED"); saga["definition"] != 1.0 {
		t.Errorf("ended under %v", saga["definition"])
	}
	want := `{"begins":false,"drained":true,"ended":1,"newest":false,"running":0,"steps":["charge","reserve","schedule","confirm"],"version":1}`
	if a := participanttest.Get(strings.TrimPrefix(url, "http://"), "/definitions"); !strings.Contains(a.Body, want) {
		t.Errorf("definitions %s", a.Body)
	}
	stopNewer()
}

// TestRetryOverHTTPIsSent: the command is published by the process's own relay.
func TestRetryOverHTTPIsSent(t *testing.T) {
	t.Parallel()
	cfg, codec := world(t)
	order := uuid.Must(uuid.NewV7()).String()
	url, stop := run(t, cfg)
	kafkatest.Produce(t, cfg.Brokers, kafkatest.Record(t, codec, placed(order), orchestrated))
	sagaIs(t, url, order, "CHARGING")
	res, err := http.Post(url+"/sagas/"+order+"/retry", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		t.Errorf("status %d", res.StatusCode)
	}
	kafkatest.Eventually(t, "the command twice", func() bool {
		return len(kafkatest.ReadAll(t, cfg.Brokers, events.TopicPaymentCommands)) == 2
	})
	stop()
}

// TestEverythingDown: the service stays alive, reports at /readyz what it lacks, answers 503, and
// stops on request.
func TestEverythingDown(t *testing.T) {
	t.Parallel()
	participanttest.EverythingDown(t, "/definitions", func(ctx context.Context, cfg participant.Config) error {
		return orchestrator.Run(ctx, orchestrator.Config{Config: cfg})
	})
}

// TestNoConnectionForOrchestrator: at the connection limit of its role, the service answers 503 with
// Retry-After, not 500, and recovers without a restart.
func TestNoConnectionForOrchestrator(t *testing.T) {
	t.Parallel()
	participanttest.NoConnection(t, orchestrator.Components(), "/definitions", http.StatusOK, func(ctx context.Context, cfg participant.Config) error {
		return orchestrator.Run(ctx, orchestrator.Config{Config: cfg})
	})
}

func TestConfigFromEnv(t *testing.T) {
	t.Parallel()
	env := func(values map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
	}
	cfg, err := participant.FromEnv[orchestrator.Config](env(map[string]string{
		"ADDR": ":0", "DATABASE_URL": "postgres://x", "KAFKA_BROKERS": "a:1,b:2", "SCHEMA_REGISTRY_URL": "http://x",
	}))
	if err != nil || !slices.Equal(cfg.Brokers, []string{"a:1", "b:2"}) || cfg.Definition != 1 {
		t.Errorf("%+v, %v", cfg, err)
	}
	for _, unknown := range []string{"3", "-1", "newest"} {
		_, err = participant.FromEnv[orchestrator.Config](env(map[string]string{
			"ADDR": ":0", "DATABASE_URL": "postgres://x", "KAFKA_BROKERS": "a:1", "SCHEMA_REGISTRY_URL": "http://x", "SAGA_DEFINITION": unknown,
		}))
		if err == nil || !strings.Contains(err.Error(), "SAGA_DEFINITION") {
			t.Errorf("definition %s: %v", unknown, err)
		}
	}
	_, err = participant.FromEnv[orchestrator.Config](env(nil))
	for _, name := range []string{"ADDR", "DATABASE_URL", "KAFKA_BROKERS", "SCHEMA_REGISTRY_URL"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v does not name %s", err, name)
		}
	}
}
