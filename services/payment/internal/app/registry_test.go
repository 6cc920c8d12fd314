package app_test

import (
	"testing"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/internal/payment"
)

// No refund is begun while it could not be told that it was made, and it is made once when
// the registry is back.
func TestNoRefundThatCannotBeToldOf(t *testing.T) {
	t.Parallel()
	k := newWorld(t)
	registry := schematest.Start(t)
	k.app = k.replica(registry.URL)
	orderID := k.paid() // PaymentCompleted is registered, PaymentRefunded is not
	registry.Break(schematest.Fault{ReadOnly: true})
	tell(k, k.app.OnShipmentFailed, event(events.ShipmentFailed{OrderID: orderID}))
	k.expectState(orderID, payment.Refunding)
	before := registry.Requests()
	k.work(k.app)
	kafkatest.Eventually(t, "the worker to ask the registry several times", func() bool { return registry.Requests() > before+6 })
	if n := k.gateway.Calls(gatewaytest.Refund); n != 0 {
		t.Fatalf("%d refunds that cannot be told of", n)
	}
	if row := k.get(orderID); row.Attempts != 0 {
		t.Errorf("%d attempts were spent", row.Attempts)
	}
	registry.Break(schematest.Fault{})
	k.await(orderID, payment.Refunded)
	k.expectTold(orderID, "PaymentCompleted@1", "PaymentRefunded@2")
	if n := k.gateway.Calls(gatewaytest.Refund); n != 1 {
		t.Errorf("%d refunds", n)
	}
}
