package app_test

import (
	"testing"

	"github.com/google/uuid"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/telemetry/telemetrytest"
	"eventshop.example/services/inventory/internal/app"
)

func TestOneLinePerOrder(t *testing.T) {
	f, log := newFixture(t, map[string]int64{"A": 5}), &telemetrytest.Log{Subject: "orderId"}
	f.app = app.New(app.Config{Pool: f.pool, Outbox: outbox.New(outbox.Config{Source: "/eventshop/inventory", Types: f.codec.Types(), Encode: f.codec.Encode, CanEncode: f.codec.CanEncode}), Log: log.Logger("inventory")})
	reserved := func() string {
		id := uuid.Must(uuid.NewV7()).String()
		for range 2 { // every event arrives twice
			f.must(receive(f, app.OnOrderCreated, created(id, events.OrderItem{SKU: "A", Quantity: 1})))
			f.must(receive(f, app.OnPaymentCompleted, paid(id)))
		}
		return id
	}

	happy := reserved()
	for range 2 {
		f.must(receive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: happy}))
	}
	log.OneLine(t, happy, telemetrytest.Line{"msg": "reservation ended", "service": "inventory", "status": "SHIPPED", "cause": "ShipmentDispatched"})

	undone := reserved()
	for range 2 {
		f.must(receive(f, app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: undone, Reason: "customer"}))
	}
	log.OneLine(t, undone, telemetrytest.Line{"msg": "reservation ended", "status": "RELEASED", "reason": "customer"})

	short := uuid.Must(uuid.NewV7()).String()
	f.must(receive(f, app.OnOrderCreated, created(short, events.OrderItem{SKU: "A", Quantity: 9})))
	f.must(receive(f, app.OnPaymentCompleted, paid(short)))
	log.OneLine(t, short, telemetrytest.Line{"status": "REJECTED", "cause": "PaymentCompleted"})
	if lines := log.About(t, short, "INFO"); lines[0]["shortages"] == nil {
		t.Errorf("without what was short: %v", lines[0])
	}
}
