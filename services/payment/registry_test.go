package payment_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/payment"
	"eventshop.example/services/payment/internal/gatewaytest"
)

// underRegistry starts the service with a registry that has the given types, without the
// compatibility levels that the service would set, and that takes no writes.
func underRegistry(t *testing.T, types ...event.Type) (*world, *schematest.Registry) {
	t.Helper()
	registry := schematest.Start(t)
	client := schema.NewClient(registry.URL)
	for _, typ := range types {
		if _, err := client.Register(t.Context(), typ.Subject, typ.Schema); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, brokers: kafkatest.Start(t, events.Topics()...), codec: schema.NewCodec(client, events.Catalogue()), gateway: gatewaytest.Start(t)}
	if err := w.codec.Register(t.Context(), types[:1]...); err != nil {
		t.Fatal(err)
	}
	registry.Break(schematest.Fault{ReadOnly: true})
	w.url, _ = start(t, payment.Config{
		Config: participant.Config{
			DatabaseURL: pgtest.NewURL(t), Brokers: w.brokers, RegistryURL: registry.URL,
		},
		GatewayURL: w.gateway.URL, GatewayTimeout: time.Second, RefundMaxAttempts: 2,
		RefundBackoffBase: 50 * time.Millisecond, RefundBackoffMax: time.Second,
	})
	return w, registry
}

// TestReadOnlyRegistryWithAllSchemas: nothing has to be written, so the service works.
func TestReadOnlyRegistryWithAllSchemas(t *testing.T) {
	t.Parallel()
	order := events.TypeOf[events.OrderCreated]()
	w, _ := underRegistry(t, append([]event.Type{order}, events.Catalogue().Types()...)...)
	kafkatest.Eventually(t, "service ready", func() bool { status, _ := get(t, w.url+"/readyz"); return status == http.StatusOK })
	id := w.create()
	w.await(id, "COMPLETED")
	w.expectReported(id, "PaymentCompleted@1")
}

// TestNoMoneyMovesThatCannotBeToldOf: while the registry does not take the schemas of its events,
// the service reports that, charges no card, and gives up no record. It recovers without a restart
// when the registry takes them.
func TestNoMoneyMovesThatCannotBeReported(t *testing.T) {
	t.Parallel()
	w, registry := underRegistry(t, events.TypeOf[events.OrderCreated]())
	id := w.create()
	kafkatest.Eventually(t, "the consumer waits for the registry", func() bool {
		status, body := get(t, w.url+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "cannot be published") &&
			strings.Contains(body, "eventshop.payment.v1.PaymentCompleted") && strings.Contains(body, "read-only")
	})
	if n := w.gateway.Calls(gatewaytest.Charge); n != 0 {
		t.Fatalf("%d charges: %v", n, w.gateway.Ledger())
	}
	registry.Break(schematest.Fault{})
	w.await(id, "COMPLETED")
	w.expectReported(id, "PaymentCompleted@1")
	if n := w.gateway.Calls(gatewaytest.Charge); n != 1 {
		t.Errorf("%d charges: %v", n, w.gateway.Ledger())
	}
	_, metrics := get(t, w.url+"/metrics")
	for _, line := range strings.Split(metrics, "\n") {
		if strings.HasPrefix(line, "eventshop_consumer_records_total") && (strings.Contains(line, "dead_letter") || strings.Contains(line, "retrying")) {
			t.Errorf("a record was given up or spent an attempt: %s", line)
		}
	}
}
