package app_test

import (
	"testing"
	"time"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/pkg/telemetry/telemetrytest"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

// withLog returns a fixture with a process whose log can be read.
func withLog(t *testing.T) (*fixture, *telemetrytest.Log) {
	t.Helper()
	f, log := newFixtureWithoutApp(t), &telemetrytest.Log{Subject: "orderId"}
	f.app = app.New(app.Config{
		Pool: f.pool, Outbox: newOutbox(schematest.Start(t).Codec(events.Catalogue())),
		Gateway: gateway.New(f.gateway.URL, time.Second, patient()), Log: log.Logger("payment"), Now: f.time,
		Refunds: app.Refunds{MaxAttempts: 1, BackoffBase: backoffBase, BackoffMax: backoffMax, Deadline: deadline, Lease: lease, Poll: 10 * time.Millisecond},
	})
	return f, log
}

func TestOneLinePerOrder(t *testing.T) {
	t.Parallel()
	f, log := withLog(t)
	f.work(f.app)

	happy := f.paid()
	if err := f.create(created(happy)); err != nil { // the event arrives twice
		t.Fatal(err)
	}
	log.OneLine(t, happy, telemetrytest.Line{
		"msg": "payment settled", "service": "payment", "status": "COMPLETED", "event": "PaymentCompleted",
		"amount": 99.99, "currency": "GBP", "correlationId": "correlation-" + happy,
	})

	undone := f.paid()
	mustReceive(f, app.OnShipmentCancelled, cancelled(undone))
	f.await(undone, payment.Refunded)
	log.OneLine(t, undone, telemetrytest.Line{"status": "COMPLETED", "event": "PaymentCompleted"})

	never := newOrder() // cancelled before it was charged
	mustReceive(f, app.OnShipmentCancelled, cancelled(never))
	f.await(never, payment.Voided)
	log.Await(t, never, "INFO", "payment settled")
	log.OneLine(t, never, telemetrytest.Line{"status": "VOIDED", "event": "PaymentVoided", "reason": "customer"})

	f.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Decline: "insufficient_funds"})
	declined := newOrder()
	if err := f.create(created(declined)); err != nil {
		t.Fatal(err)
	}
	log.OneLine(t, declined, telemetrytest.Line{"status": "FAILED", "event": "PaymentFailed", "reason": "insufficient_funds"})
}

func TestWarningsNameTheOrder(t *testing.T) {
	t.Parallel()
	f, log := withLog(t)
	id := f.paid()
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: 503})
	f.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Status: 503})
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	f.work(f.app)
	f.await(id, payment.RefundFailed)
	log.Await(t, id, "WARN", "money not returned")
	log.Await(t, id, "WARN", "payment needs a person")
}
