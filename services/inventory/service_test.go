package inventory_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
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
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/inventory"
)

// start runs the service as its main function does, until stop is called.
func start(t *testing.T, cfg inventory.Config) (url string, stop func()) {
	t.Helper()
	cfg.Addr = participanttest.Address(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- inventory.Run(ctx, cfg) }()
	t.Cleanup(cancel)
	url = "http://" + cfg.Addr
	kafkatest.Eventually(t, "the service to listen", func() bool {
		status, _ := get(url + "/healthz")
		return status != 0
	})
	return url, func() {
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

// get returns status 0 while the service does not listen.
func get(url string) (int, map[string]any) {
	res, err := http.Get(url)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	var body map[string]any
	_ = json.NewDecoder(res.Body).Decode(&body) // an answer that is no JSON has no fields
	return res.StatusCode, body
}

// TestFromPaymentToDispatch: through Kafka, each record twice, with a restart in between.
func TestFromPaymentToDispatch(t *testing.T) {
	t.Parallel()
	registry := schematest.Start(t)
	codec := registry.Codec(events.Catalogue())
	db := pgtest.NewSeparate(t, inventory.Components()...)
	db.Migrate(t)
	db.Check(t)
	cfg := inventory.Config{
		Config: participant.Config{
			DatabaseURL: db.AppURL, Migrations: postgres.MigrationsWait,
			Brokers: kafkatest.Start(t, events.Topics()...), RegistryURL: registry.URL,
		},
		InitialStock: map[string]int64{"WIDGET-01": 5},
	}
	order := uuid.Must(uuid.NewV7()).String()
	url, stop := start(t, cfg)
	reservation := func(state string) {
		t.Helper()
		kafkatest.Eventually(t, "the reservation to be "+state, func() bool {
			status, body := get(url + "/reservations/" + order)
			return status == http.StatusOK && body["status"] == state
		})
	}
	stock := func(available, reserved, shipped float64) {
		t.Helper()
		_, body := get(url + "/stock/WIDGET-01")
		got := []any{body["available"], body["reserved"], body["shipped"], body["initial"]}
		if diff := cmp.Diff([]any{available, reserved, shipped, 5.0}, got); diff != "" {
			t.Errorf("stock (-want +got):\n%s", diff)
		}
	}
	created := kafkatest.Record(t, codec, events.OrderCreated{
		OrderID: order, Customer: events.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
		ShippingAddress: events.Address{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA"},
		Items:           []events.OrderItem{{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 2999}},
		TotalAmount:     5998, Currency: "GBP", ConfirmBy: time.Now().Add(time.Minute), OccurredAt: time.Now(),
	})
	paid := kafkatest.Record(t, codec, events.PaymentCompleted{OrderID: order, PaymentID: "p", Amount: 5998, Currency: "GBP", OccurredAt: time.Now()})
	again := func() { kafkatest.Produce(t, cfg.Brokers, created, paid) }
	again()
	reservation("RESERVED")
	again()
	stop()

	url, stop = start(t, cfg) // seeds again
	kafkatest.Produce(t, cfg.Brokers, kafkatest.Record(t, codec, events.ShipmentDispatched{OrderID: order, ShipmentID: "s", DispatchedAt: time.Now(), OccurredAt: time.Now()}))
	reservation("SHIPPED")
	stock(3, 0, 2)
	var reported []string
	kafkatest.Eventually(t, "the event to be published", func() bool {
		reported = nil
		for _, r := range kafkatest.ReadAll(t, cfg.Brokers, events.TopicInventoryEvents) {
			e := kafkatest.Envelope(t, r)
			reported = append(reported, fmt.Sprintf("%s@%d of %s", e.Type, e.AggregateVersion, r.Key))
		}
		return len(reported) > 0
	})
	if diff := cmp.Diff([]string{"InventoryReserved@1 of " + order}, reported); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	stop()
}

// TestBothStyles: through Kafka, each record twice. The events that start steps of choreographed orders
// leave no row of an orchestrated one; a command does, and is answered once.
func TestBothStyles(t *testing.T) {
	t.Parallel()
	registry := schematest.Start(t)
	codec := registry.Codec(events.Catalogue())
	db := pgtest.NewSeparate(t, inventory.Components()...)
	db.Migrate(t)
	cfg := inventory.Config{
		Config: participant.Config{
			DatabaseURL: db.AppURL, Migrations: postgres.MigrationsWait,
			Brokers: kafkatest.Start(t, events.Topics()...), RegistryURL: registry.URL,
		},
		InitialStock: map[string]int64{"WIDGET-01": 5},
	}
	url, stop := start(t, cfg)
	orchestrated := func(e *event.Envelope) { e.Style = event.Orchestrated }
	ignored, commanded, onlyCommand := uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
	now := time.Now()
	created := kafkatest.Record(t, codec, events.OrderCreated{
		OrderID: ignored, Items: []events.OrderItem{{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 2999}}, TotalAmount: 5998, Currency: "GBP",
		ConfirmBy: now, SagaStyle: "orchestrated", OccurredAt: now,
	}, orchestrated)
	paid := kafkatest.Record(t, codec, events.PaymentCompleted{OrderID: ignored, PaymentID: "p", Amount: 5998, Currency: "GBP", OccurredAt: now}, orchestrated)
	cancelled := kafkatest.Record(t, codec, events.ShipmentCancelled{OrderID: ignored, Reason: "customer", OccurredAt: now}, orchestrated)
	reserve := func(id string) events.ReserveInventory {
		return events.ReserveInventory{OrderID: id, Items: []events.ItemToReserve{{SKU: "WIDGET-01", Quantity: 2}}, OccurredAt: now}
	}
	first, again := kafkatest.Record(t, codec, reserve(commanded), orchestrated), kafkatest.Record(t, codec, reserve(commanded), orchestrated)
	ofNoSaga := kafkatest.Record(t, codec, reserve(onlyCommand))
	for range 2 {
		kafkatest.Produce(t, cfg.Brokers, created, paid, cancelled, first, again, ofNoSaga)
	}
	kafkatest.Eventually(t, "the consumer to have passed all records", func() bool {
		return counted(t, url, "other_style") == 8 && counted(t, url, "duplicate") == 2
	})
	for _, id := range []string{ignored, onlyCommand} {
		if status, body := get(url + "/reservations/" + id); status != http.StatusNotFound {
			t.Errorf("an ignored record has left %v", body)
		}
	}
	if _, body := get(url + "/reservations/" + commanded); body["saga"] != "orchestrated" || body["attention"] != nil || body["status"] != "RESERVED" {
		t.Errorf("the reservation is %v", body)
	}
	kafkatest.Produce(t, cfg.Brokers, kafkatest.Record(t, codec, events.ShipmentDispatched{OrderID: commanded, ShipmentID: "s", DispatchedAt: now, OccurredAt: now}))
	kafkatest.Eventually(t, "the contradiction to be visible", func() bool {
		_, body := get(url + "/reservations/" + commanded)
		return body["attention"] == "ShipmentDispatched with the style choreographed, and the order is orchestrated" && body["status"] == "RESERVED"
	})
	var answers []string
	kafkatest.Eventually(t, "the commands to be answered", func() bool {
		answers = nil
		for _, r := range kafkatest.ReadAll(t, cfg.Brokers, events.TopicInventoryEvents) {
			if e := kafkatest.Envelope(t, r); string(r.Key) == commanded {
				answers = append(answers, fmt.Sprintf("%s@%d %s", e.Type, e.AggregateVersion, e.Style))
			}
		}
		return len(answers) > 1
	})
	if diff := cmp.Diff([]string{"InventoryReserved@1 orchestrated", "InventoryCommandAnswered@2 orchestrated"}, answers); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	stop()
}

// counted returns how many records the consumer has passed with an outcome.
func counted(t *testing.T, url, outcome string) (n float64) {
	t.Helper()
	res, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "eventshop_consumer_records_total{") && strings.Contains(line, fmt.Sprintf("outcome=%q", outcome)) {
			value, err := strconv.ParseFloat(line[strings.LastIndex(line, " ")+1:len(line)-1], 64)
			if err != nil {
				t.Fatal(err)
			}
			n += value
		}
	}
	return n
}

// TestEverythingDown: the service stays alive, reports at /readyz what it lacks, answers 503, and
// stops on request.
func TestEverythingDown(t *testing.T) {
	t.Parallel()
	participanttest.EverythingDown(t, "/stock/WIDGET-01", func(ctx context.Context, cfg participant.Config) error {
		return inventory.Run(ctx, inventory.Config{Config: cfg, InitialStock: map[string]int64{"WIDGET-01": 5}})
	})
}

func TestConfigFromEnv(t *testing.T) {
	t.Parallel()
	env := func(values map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
	}
	good := map[string]string{
		"ADDR": ":0", "DATABASE_URL": "postgres://x", "KAFKA_BROKERS": "a:1,b:2", "SCHEMA_REGISTRY_URL": "http://x",
		"INITIAL_STOCK": " WIDGET-01=5, GADGET-05=0 ,",
	}
	cfg, err := participant.FromEnv[inventory.Config](env(good))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int64{"WIDGET-01": 5, "GADGET-05": 0}, cfg.InitialStock); diff != "" || len(cfg.Brokers) != 2 {
		t.Errorf("brokers %v, stock (-want +got):\n%s", cfg.Brokers, diff)
	}
	for _, bad := range []string{"WIDGET-01", "=5", "WIDGET-01=-1", "WIDGET-01=many", "WIDGET-01=9223372036854775808"} {
		good["INITIAL_STOCK"] = bad
		if _, err := participant.FromEnv[inventory.Config](env(good)); err == nil || !strings.Contains(err.Error(), "INITIAL_STOCK") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	_, err = participant.FromEnv[inventory.Config](env(nil))
	for _, name := range []string{"ADDR", "DATABASE_URL", "KAFKA_BROKERS", "SCHEMA_REGISTRY_URL"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v does not name %s", err, name)
		}
	}
}
