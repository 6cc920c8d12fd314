package payment_test

import (
	"context"
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
	"eventshop.example/services/payment"
	"eventshop.example/services/payment/internal/gatewaytest"
)

// start runs the service and returns its URL and a function to stop it.
func start(t *testing.T, cfg payment.Config) (url string, stop func() error) {
	t.Helper()
	cfg.Addr = participanttest.Address(t)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() { ended <- payment.Run(ctx, cfg) }()
	url = "http://" + cfg.Addr
	kafkatest.Eventually(t, "the service to listen", func() bool { status, _ := get(t, url+"/livez"); return status == http.StatusOK })
	return url, func() error { cancel(); return <-ended }
}

// get returns status 0 when there is no answer.
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

// world is the service with its gateway, brokers and registry.
type world struct {
	t       *testing.T
	url     string
	brokers []string
	codec   *schema.Codec
	gateway *gatewaytest.Gateway
}

func (w *world) publish(e event.Event) {
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
		return strings.Contains(body, `"status":"`+state+`"`)
	})
}

// told lists the published events of an order.
func (w *world) reported(id string) []string {
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

func (w *world) expectReported(id string, want ...string) {
	w.t.Helper()
	kafkatest.Eventually(w.t, fmt.Sprint(want), func() bool { return len(w.reported(id)) >= len(want) })
	if diff := cmp.Diff(want, w.reported(id)); diff != "" {
		w.t.Errorf("published (-want +got):\n%s", diff)
	}
}

// newWorld starts the service and waits until it is ready.
func newWorld(t *testing.T) (w *world, db *pgtest.Separate, stop func() error) {
	t.Helper()
	registry := schematest.Start(t).URL
	w = &world{t: t, brokers: kafkatest.Start(t, events.Topics()...), codec: schema.NewCodec(schema.NewClient(registry), events.Catalogue()), gateway: gatewaytest.Start(t)}
	db = pgtest.NewSeparate(t, payment.Components()...)
	db.Migrate(t)
	w.url, stop = start(t, payment.Config{
		Config: participant.Config{
			DatabaseURL: db.AppURL, Migrations: postgres.MigrationsWait, Brokers: w.brokers,
			RegistryURL: registry,
		},
		GatewayURL: w.gateway.URL, GatewayTimeout: time.Second, RefundMaxAttempts: 2,
		RefundBackoffBase: 50 * time.Millisecond, RefundBackoffMax: time.Second,
	})
	kafkatest.Eventually(t, "service ready", func() bool { status, _ := get(t, w.url+"/readyz"); return status == http.StatusOK })
	return w, db, stop
}

// TestService runs the whole service: it receives events from Kafka, calls the gateway, publishes
// events, and shows the result over HTTP.
func TestService(t *testing.T) {
	t.Parallel()
	w, db, stop := newWorld(t)
	url := w.url

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

	w.expectReported(happy, "PaymentCompleted@1")
	w.expectReported(back, "PaymentCompleted@1", "PaymentRefunded@2")
	w.expectReported(stopped, "PaymentVoided@1")
	w.expectReported(held, "PaymentCompleted@1", "PaymentRefundFailed@2", "PaymentRefunded@3")
	w.expectReported(declined, "PaymentFailed@1")
	for id, want := range map[string]int64{happy: 2999, back: 0, stopped: 0, held: 0, declined: 0} {
		if net := w.gateway.Net("charge-" + id); net != want {
			t.Errorf("net %d, want %d: %v", net, want, w.gateway.Ledger())
		}
	}
	db.Check(t) // with the partitions that the service created

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

// TestNothingElseIsThere: the service stays alive, reports what it lacks, and stops on request.
func TestNothingElseIsThere(t *testing.T) {
	t.Parallel()
	participanttest.EverythingDown(t, "/payments/"+uuid.NewString(), func(ctx context.Context, cfg participant.Config) error {
		return payment.Run(ctx, payment.Config{
			Config: cfg, GatewayURL: "http://" + participanttest.Nowhere, GatewayTimeout: time.Second,
			RefundMaxAttempts: 1, RefundBackoffBase: time.Second, RefundBackoffMax: time.Second,
		})
	})
}

func TestConfigFromEnv(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"ADDR": ":8082", "DATABASE_URL": "postgres://h/payment", "KAFKA_BROKERS": "a:1, b:2",
		"SCHEMA_REGISTRY_URL": "http://r", "GATEWAY_URL": "http://g",
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	got, err := participant.FromEnv[payment.Config](lookup)
	if err != nil {
		t.Fatal(err)
	}
	want := payment.Config{
		Config: participant.Config{
			Addr:        ":8082",
			Retry:       consumer.Retry{Attempts: 6, Backoff: consumer.Backoff{Base: 100 * time.Millisecond, Max: 30 * time.Second}},
			SchemaGrace: 30 * time.Second,
			Keep:        postgres.Retention{Outbox: 168 * time.Hour, Inbox: 744 * time.Hour},
			DatabaseURL: "postgres://h/payment", Brokers: []string{"a:1", "b:2"},
			RegistryURL: "http://r",
		},
		GatewayURL: "http://g", GatewayTimeout: 2 * time.Second, RefundMaxAttempts: 8,
		RefundBackoffBase: 500 * time.Millisecond, RefundBackoffMax: 30 * time.Second,
		RefundDeadline: time.Hour,
		Breaker:        participant.Breaker{Failures: 5, Window: time.Minute, OpenFor: 30 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	env = map[string]string{"GATEWAY_TIMEOUT": "soon", "REFUND_MAX_ATTEMPTS": "0", "REFUND_DEADLINE": "-1h", "GATEWAY_BREAKER_FAILURES": "0", "GATEWAY_BREAKER_WINDOW": "60", "GATEWAY_BREAKER_OPEN_FOR": "no"}
	_, err = participant.FromEnv[payment.Config](lookup)
	for _, variable := range []string{
		"ADDR", "DATABASE_URL", "KAFKA_BROKERS", "SCHEMA_REGISTRY_URL", "GATEWAY_URL", "GATEWAY_TIMEOUT", "REFUND_MAX_ATTEMPTS",
		"REFUND_DEADLINE", "GATEWAY_BREAKER_FAILURES", "GATEWAY_BREAKER_WINDOW", "GATEWAY_BREAKER_OPEN_FOR",
	} {
		if err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("the error does not name %s: %v", variable, err)
		}
	}
}
