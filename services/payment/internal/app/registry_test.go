package app_test

import (
	"testing"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

// TestNoRefundThatCannotBeEmitted: no refund begins while its event could not be emitted. The
// refund is made once when the registry is available again.
func TestNoRefundThatCannotBeEmitted(t *testing.T) {
	t.Parallel()
	f := newFixtureWithoutApp(t)
	registry := schematest.Start(t)
	f.app = f.replica(registry.URL)
	orderID := f.paid() // PaymentCompleted is registered, PaymentRefunded is not
	registry.Break(schematest.Fault{ReadOnly: true})
	mustReceive(f, app.OnShipmentFailed, delivered(events.ShipmentFailed{OrderID: orderID}))
	f.expectState(orderID, payment.Refunding)
	before := registry.Requests()
	f.work(f.app)
	kafkatest.Eventually(t, "the worker to ask the registry several times", func() bool { return registry.Requests() > before+6 })
	if n := f.gateway.Calls(gatewaytest.Refund); n != 0 {
		t.Fatalf("%d refunds that cannot be emitted", n)
	}
	if row := f.get(orderID); row.Attempts != 0 {
		t.Errorf("%d attempts were spent", row.Attempts)
	}
	registry.Break(schematest.Fault{})
	f.await(orderID, payment.Refunded)
	f.expectEmitted(orderID, "PaymentCompleted@1", "PaymentRefunded@2")
	if n := f.gateway.Calls(gatewaytest.Refund); n != 1 {
		t.Errorf("%d refunds", n)
	}
}
