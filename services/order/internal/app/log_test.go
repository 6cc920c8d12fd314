package app_test

import (
	"context"
	"testing"
	"time"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/pkg/telemetry/telemetrytest"
	"eventshop.example/services/order/internal/app"
)

// newLoggedFixture returns a fixture whose log can be read.
func newLoggedFixture(t *testing.T) (*fixture, *telemetrytest.Log) {
	t.Helper()
	f, log := newFixture(t), &telemetrytest.Log{Subject: "orderId"}
	f.app = app.New(app.Config{
		Pool: f.pool, Outbox: newOutbox(schematest.Start(t).Codec(events.Catalogue())),
		Log: log.Logger("order"), Now: f.time,
	})
	return f, log
}

func TestOneLinePerOrder(t *testing.T) {
	t.Parallel()
	f, log := newLoggedFixture(t)

	happy := f.place(cart()).ID
	for range 2 { // every event arrives twice
		mustReceive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: happy, TrackingID: "T1"})
		mustReceive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: happy, TrackingID: "T1"})
		mustReceive(f, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: happy, DeliveredAt: f.time()})
	}
	log.OneLine(t, happy, telemetrytest.Line{
		"msg": "order ended", "service": "order", "status": "DELIVERED", "cause": "ShipmentDelivered", "event": "OrderDelivered",
	})

	undone := f.place(cart()).ID
	for range 2 {
		mustReceive(f, app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: undone, Reason: "out_of_stock"})
		mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: undone, Reason: "out_of_stock"})
	}
	log.OneLine(t, undone, telemetrytest.Line{
		"msg": "order ended", "status": "CANCELLED", "reason": "out_of_stock", "cause": "PaymentRefunded", "event": "OrderCancelled",
	})
	if lines := log.About(t, undone, "DEBUG"); len(lines) < 4 {
		t.Errorf("DEBUG has %d lines, want one for each decision: %v", len(lines), lines)
	}
}

func TestWarningsNameTheOrder(t *testing.T) {
	t.Parallel()
	f, log := newLoggedFixture(t)
	id := f.place(cart()).ID
	mustReceive(f, app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id, Reason: "the gateway answered 503"})
	if lines := log.About(t, id, "WARN"); len(lines) != 1 || lines[0]["msg"] != "order needs a person" {
		t.Errorf("attention: %v", lines)
	}

	f.exec(`ALTER TABLE events ADD CHECK (event_type <> 'OrderCancellationRequested') NOT VALID`)
	late := []string{f.place(cart()).ID, f.place(cart()).ID}
	f.advance(6 * time.Minute)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.app.RunDeadlines(ctx) }()
	for _, id := range late {
		kafkatest.Eventually(t, "a warning about "+id, func() bool { return len(log.About(t, id, "WARN")) > 0 })
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
