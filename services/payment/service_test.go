package payment_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/payment"
	"eventshop.example/services/payment/internal/gatewaytest"
)

// start runs the service and gives its URL and how to stop it.
func start(t *testing.T, cfg payment.Config) (url string, stop func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Addr = listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() { ended <- payment.Run(ctx, cfg) }()
	url = "http://" + cfg.Addr
	kafkatest.Eventually(t, "the service to listen", func() bool { status, _ := get(t, url+"/livez"); return status == http.StatusOK })
	return url, func() error { cancel(); return <-ended }
}

// get returns status 0 when nobody answers.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// world is the service with everything around it.
type world struct {
	t       *testing.T
	url     string
	brokers []string
	codec   *schema.Codec
	gateway *gatewaytest.Gateway
}

func (w *world) publish(e events.Event) {
	w.t.Helper()
	record := kafkatest.Record(w.t, w.codec, e)
	kafkatest.Produce(w.t, w.brokers, record, record) // twice: delivery is at least once
}

func (w *world) create() (id string) {
	w.t.Helper()
	id = uuid.Must(uuid.NewV7()).String()
	now := time.Now()
	w.publish(events.OrderCreated{
		OrderID: id, Customer: events.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
		TotalAmount: 2999, Currency: "EUR", ConfirmBy: now, OccurredAt: now,
	})
	return id
}

func (w *world) await(id, state string) {
	w.t.Helper()
	kafkatest.Eventually(w.t, "payment "+state, func() bool {
		_, body := get(w.t, w.url+"/payments/"+id)
		return strings.Contains(body, `"state":"`+state+`"`)
	})
}

// told lists what was published about an order.
func (w *world) told(id string) []string {
	w.t.Helper()
	var got []string
	for _, r := range kafkatest.ReadAll(w.t, w.brokers, events.TopicPaymentEvents) {
		e := kafkatest.Envelope(w.t, r)
		if e.Subject == id && e.CorrelationID == id {
			got = append(got, fmt.Sprintf("%s@%d", e.Type, e.AggregateVersion))
		}
	}
	return got
}

func (w *world) expectTold(id string, want ...string) {
	w.t.Helper()
	kafkatest.Eventually(w.t, fmt.Sprint(want), func() bool { return len(w.told(id)) >= len(want) })
	if diff := cmp.Diff(want, w.told(id)); diff != "" {
		w.t.Errorf("published (-want +got):\n%s", diff)
	}
}

// TestService boots the whole service: events come in from Kafka, the gateway is asked,
// events go out, and what happened can be read over HTTP.
func TestService(t *testing.T) {
	t.Parallel()
	registry := schematest.Start(t).URL
	w := &world{t: t, brokers: kafkatest.Start(t, events.Topics()...), codec: schema.NewCodec(schema.NewClient(registry)), gateway: gatewaytest.Start(t)}
	db := pgtest.NewSeparate(t, payment.Components()...)
	db.Migrate(t)
	url, stop := start(t, payment.Config{
		DatabaseURL: db.AppURL, Migrations: postgres.MigrationsWait, Brokers: w.brokers, RegistryURL: registry, GatewayURL: w.gateway.URL,
		GatewayTimeout: time.Second, RefundMaxAttempts: 2, RefundBackoffBase: 50 * time.Millisecond, RefundBackoffMax: time.Second,
	})
	w.url = url
	kafkatest.Eventually(t, "service ready", func() bool { status, _ := get(t, url+"/readyz"); return status == http.StatusOK })

	happy := w.create()
	w.await(happy, "COMPLETED")

	back := w.create()
	w.await(back, "COMPLETED")
	w.publish(events.InventoryReservationFailed{OrderID: back, Reason: "out_of_stock", OccurredAt: time.Now()})
	w.await(back, "REFUNDED")

	stopped := uuid.Must(uuid.NewV7()).String()
	w.publish(events.ShipmentCancelled{OrderID: stopped, Reason: "customer", OccurredAt: time.Now()})
	w.await(stopped, "VOIDED")

	w.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Down: true})
	held := w.create()
	w.await(held, "COMPLETED")
	w.publish(events.ShipmentFailed{OrderID: held, Reason: "address_not_served", OccurredAt: time.Now()})
	w.await(held, "REFUND_FAILED")
	w.gateway.Mend()
	res, err := http.Post(url+"/payments/"+held+"/refund-retry", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusAccepted {
		t.Fatalf("refund-retry: %d %v", res.StatusCode, err)
	}
	w.await(held, "REFUNDED")

	w.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Decline: "insufficient_funds"})
	declined := w.create()
	w.await(declined, "FAILED")

	w.expectTold(happy, "PaymentCompleted@1")
	w.expectTold(back, "PaymentCompleted@1", "PaymentRefunded@2")
	w.expectTold(stopped, "PaymentVoided@1")
	w.expectTold(held, "PaymentCompleted@1", "PaymentRefundFailed@2", "PaymentRefunded@3")
	w.expectTold(declined, "PaymentFailed@1")
	for id, want := range map[string]int64{happy: 2999, back: 0, stopped: 0, held: 0, declined: 0} {
		if net := w.gateway.Net("charge-" + id); net != want {
			t.Errorf("net %d, want %d: %v", net, want, w.gateway.Ledger())
		}
	}
	db.Check(t) // with the partitions that the service made

	_, metrics := get(t, url+"/metrics")
	for _, line := range []string{
		`eventshop_payment_decisions_total{action="apply",input="ChargeCaptured"} 3`,
		`eventshop_gateway_call_seconds_count{operation="void",outcome="voided"} 1`,
		`eventshop_payments_needing_attention`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	if status, _ := get(t, url+"/livez"); status != 0 {
		t.Errorf("still listening: %d", status)
	}
}

// TestNothingElseIsThere: the service lives, says what it lacks, and stops when told to.
func TestNothingElseIsThere(t *testing.T) {
	t.Parallel()
	const nowhere = "127.0.0.1:1"
	url, stop := start(t, payment.Config{
		DatabaseURL: "postgres://nobody@" + nowhere + "/none", Brokers: []string{nowhere}, RegistryURL: "http://" + nowhere,
		GatewayURL: "http://" + nowhere, GatewayTimeout: time.Second, RefundMaxAttempts: 1, RefundBackoffBase: time.Second, RefundBackoffMax: time.Second,
	})
	status, body := get(t, url+"/readyz")
	if status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d %s", status, body)
	}
	for _, name := range []string{"database", "schemas", "consumer", "relay"} {
		if !strings.Contains(body, name) {
			t.Errorf("readyz says nothing about the %s: %s", name, body)
		}
	}
	if status, body := get(t, url+"/payments/"+uuid.NewString()); status != http.StatusServiceUnavailable {
		t.Errorf("a request: %d %s", status, body)
	}
	if err := stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestConfigFromEnv(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"ADDR": ":8082", "DATABASE_URL": "postgres://h/payment", "KAFKA_BROKERS": "a:1, b:2",
		"SCHEMA_REGISTRY_URL": "http://r", "GATEWAY_URL": "http://g",
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	got, err := payment.ConfigFromEnv(lookup)
	if err != nil {
		t.Fatal(err)
	}
	want := payment.Config{
		Addr: ":8082", Retry: consumer.Retry{Attempts: 6, Backoff: consumer.Backoff{Base: 100 * time.Millisecond, Max: 30 * time.Second}}, SchemaGrace: 30 * time.Second, Keep: postgres.Retention{Outbox: 168 * time.Hour, Inbox: 744 * time.Hour}, DatabaseURL: "postgres://h/payment", Brokers: []string{"a:1", "b:2"}, RegistryURL: "http://r",
		GatewayURL: "http://g", GatewayTimeout: 2 * time.Second,
		RefundMaxAttempts: 8, RefundBackoffBase: 500 * time.Millisecond, RefundBackoffMax: 30 * time.Second, RefundDeadline: time.Hour,
		BreakerFailures: 5, BreakerWindow: time.Minute, BreakerOpenFor: 30 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	env = map[string]string{"GATEWAY_TIMEOUT": "soon", "REFUND_MAX_ATTEMPTS": "0", "REFUND_DEADLINE": "-1h", "GATEWAY_BREAKER_FAILURES": "0", "GATEWAY_BREAKER_WINDOW": "60", "GATEWAY_BREAKER_OPEN_FOR": "no"}
	_, err = payment.ConfigFromEnv(lookup)
	for _, variable := range []string{
		"ADDR", "DATABASE_URL", "KAFKA_BROKERS", "SCHEMA_REGISTRY_URL", "GATEWAY_URL", "GATEWAY_TIMEOUT", "REFUND_MAX_ATTEMPTS",
		"REFUND_DEADLINE", "GATEWAY_BREAKER_FAILURES", "GATEWAY_BREAKER_WINDOW", "GATEWAY_BREAKER_OPEN_FOR",
	} {
		if err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("the error does not name %s: %v", variable, err)
		}
	}
}
