package order_test

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

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/participant/participanttest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/order"
)

const cart = `{"customer": {"id": "cust-7", "name": "Ada Lovelace", "email": "ada@example.com"},
  "shippingAddress": {"street": "123 Babbage Lane", "city": "London", "postalCode": "SW1A 1AA"},
  "items": [{"sku": "WIDGET-01", "quantity": 1, "unitPrice": 29.99}], "totalAmount": 29.99, "currency": "GBP"}`

// run starts the service and returns its URL and a function to stop it. The function fails the test
// when the service does not stop cleanly.
func run(t *testing.T, cfg order.Config) (url string, stop func()) {
	t.Helper()
	cfg.Addr = participanttest.Address(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- order.Run(ctx, cfg) }()
	stopped := false
	stop = func() {
		cancel()
		if stopped {
			return
		}
		stopped = true
		if err := <-done; err != nil {
			t.Errorf("the service ended with: %v", err)
		}
	}
	t.Cleanup(stop)
	url = "http://" + cfg.Addr
	kafkatest.Eventually(t, "service alive", func() bool { status, _ := get(url + "/livez"); return status == http.StatusOK })
	return url, stop
}

func get(url string) (int, string) {
	res, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(body)
}

// TestService runs the whole service. An order arrives over HTTP and is published to Kafka. Events
// of other services move it on, each event once.
func TestService(t *testing.T) {
	t.Parallel()
	registry := schematest.Start(t).URL
	brokers := kafkatest.Start(t, events.Topics()...)
	db := pgtest.NewSeparate(t, order.Components()...)
	db.Migrate(t)
	url, stop := run(t, order.Config{
		Config: participant.Config{
			DatabaseURL: db.AppURL, Migrations: postgres.MigrationsWait, Brokers: brokers,
			RegistryURL: registry,
		},
		SagaDeadline: time.Minute, SnapshotEvery: 3,
	})
	kafkatest.Eventually(t, "service ready", func() bool { status, _ := get(url + "/readyz"); return status == http.StatusOK })

	id := place(t, url, cart)
	codec := schema.NewCodec(schema.NewClient(registry), events.Catalogue())
	produce(t, codec, brokers, events.ShipmentScheduled{OrderID: id, ShipmentID: "s1", TrackingID: "T1", Carrier: "c", OccurredAt: time.Now()}, 2)
	produce(t, codec, brokers, events.PaymentCompleted{OrderID: id, OccurredAt: time.Now()}, 1) // ignored
	produce(t, codec, brokers, events.ShipmentDispatched{OrderID: id, ShipmentID: "s1", TrackingID: "T1",
		DispatchedAt: time.Now(), OccurredAt: time.Now()}, 1)
	kafkatest.Eventually(t, "order SHIPPED", func() bool {
		_, body := get(url + "/orders/" + id)
		return strings.Contains(body, `"status":"SHIPPED"`)
	})
	want := []string{"OrderCreated@2", "OrderConfirmed@3", "OrderShipped@4"}
	kafkatest.Eventually(t, "events published", func() bool { return len(published(t, brokers, events.TopicOrderEvents)) >= len(want) })
	if diff := cmp.Diff(want, published(t, brokers, events.TopicOrderEvents)); diff != "" {
		t.Error(diff)
	}
	if got := published(t, brokers, "order.notifications"); len(got) != 1 {
		t.Errorf("notifications: %v", got)
	}

	// The deadline worker runs as well: this order is never confirmed.
	late := place(t, url, strings.Replace(cart, `"GBP"`, `"GBP", "confirmWithinSeconds": 1`, 1))
	kafkatest.Eventually(t, "order CANCELLING", func() bool {
		_, body := get(url + "/orders/" + late)
		return strings.Contains(body, `"status":"CANCELLING"`) && strings.Contains(body, `"reason":"deadline"`)
	})

	pool := db.App(t)
	kafkatest.Eventually(t, "a snapshot of each order", func() bool {
		var orders int
		err := pool.QueryRow(t.Context(), `SELECT count(*) FROM stream_snapshots WHERE version = 3`).Scan(&orders)
		return err == nil && orders == 2
	})

	db.Check(t) // with the partitions that the service created

	_, metrics := get(url + "/metrics")
	for _, line := range []string{
		`eventshop_orders_total{reason="",status="CONFIRMED"} 1`,
		`eventshop_orders_accepted_total{saga="choreographed"} 2`,
		`eventshop_orchestration_ready 0`,
		`eventshop_order_saga_seconds_count 1`,
		`eventshop_order_decisions_total{input="ShipmentScheduled",outcome="apply"} 1`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	stop()
	if status, _ := get(url + "/livez"); status != 0 {
		t.Errorf("still listening after the stop: %d", status)
	}
}

func place(t *testing.T, url, body string) (id string) {
	t.Helper()
	res, err := http.Post(url+"/orders", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var placed struct{ OrderID string }
	if err := json.NewDecoder(res.Body).Decode(&placed); err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("POST /orders: %d, %v", res.StatusCode, err)
	}
	return placed.OrderID
}

// produce publishes an event the given number of times, as a relay that repeats itself does.
func produce(t *testing.T, codec *schema.Codec, brokers []string, e event.Event, times int) {
	t.Helper()
	record := kafkatest.Record(t, codec, e)
	for range times {
		kafkatest.Produce(t, brokers, record)
	}
}

func published(t *testing.T, brokers []string, topic string) []string {
	t.Helper()
	var got []string
	for _, r := range kafkatest.ReadAll(t, brokers, topic) {
		e := kafkatest.Envelope(t, r)
		got = append(got, fmt.Sprintf("%s@%d", e.Type, e.AggregateVersion))
	}
	return got
}

// TestEverythingDown: without database, broker and registry, the service stays alive, reports at
// /readyz what it lacks, answers 503, and stops on request.
func TestEverythingDown(t *testing.T) {
	t.Parallel()
	participanttest.EverythingDown(t, "/orders/"+uuid.NewString(), func(ctx context.Context, cfg participant.Config) error {
		return order.Run(ctx, order.Config{Config: cfg, SagaDeadline: time.Minute, SnapshotEvery: 10})
	})
}

// TestOnlyDatabase: without broker and registry, existing orders can be read, no order can be
// placed, and nothing is half done.
func TestOnlyDatabase(t *testing.T) {
	t.Parallel()
	operators := participanttest.Address(t)
	url, stop := run(t, order.Config{
		Config: participant.Config{
			OperatorAddr: operators, DatabaseURL: pgtest.NewURL(t),
			Brokers: []string{"127.0.0.1:1"}, RegistryURL: "http://127.0.0.1:1",
		},
		SagaDeadline: time.Minute, SnapshotEvery: 10,
	})
	kafkatest.Eventually(t, "migrations done", func() bool {
		_, body := get(url + "/readyz")
		return strings.Contains(body, `"database":"ok"`)
	})
	if status, body := get(url + "/orders/" + uuid.NewString()); status != http.StatusNotFound {
		t.Errorf("GET /orders: %d %s", status, body)
	}
	if status, body := get("http://" + operators + "/dead-letters"); status != http.StatusOK || body != `{"deadLetters":[]}` {
		t.Errorf("GET /dead-letters: %d %s", status, body)
	}
	res, err := http.Post(url+"/orders", "application/json", strings.NewReader(cart))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("POST /orders: %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	stop()
}

func TestConfigFromEnv(t *testing.T) {
	t.Parallel()
	env := map[string]string{"ADDR": ":1", "OPERATOR_ADDR": ":2", "DATABASE_URL": "u", "KAFKA_BROKERS": "a:1, b:2", "SCHEMA_REGISTRY_URL": "r"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	got, err := participant.FromEnv[order.Config](lookup)
	want := order.Config{
		Config: participant.Config{
			Addr: ":1", OperatorAddr: ":2",
			Retry:       consumer.Retry{Attempts: 6, Backoff: consumer.Backoff{Base: 100 * time.Millisecond, Max: 30 * time.Second}},
			SchemaGrace: 30 * time.Second,
			Keep:        postgres.Retention{Outbox: 168 * time.Hour, Inbox: 744 * time.Hour},
			DatabaseURL: "u", Brokers: []string{"a:1", "b:2"}, RegistryURL: "r",
		},
		SagaDeadline: 5 * time.Minute, SnapshotEvery: 100, PendingTarget: time.Second, MaxPending: 200_000, DraftTTL: 7 * 24 * time.Hour,
		ParticipantCheck: 5 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	clear(env)
	env["SAGA_DEADLINE"], env["OUTBOX_KEEP"], env["INBOX_KEEP"] = "soon", "a week", "23h"
	_, err = participant.FromEnv[order.Config](lookup)
	for _, name := range []string{"ADDR", "DATABASE_URL", "KAFKA_BROKERS", "SCHEMA_REGISTRY_URL", "SAGA_DEADLINE", "OUTBOX_KEEP", "INBOX_KEEP"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}
