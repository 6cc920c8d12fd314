package app_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"eventshop.example/pkg/telemetry/telemetrytest"
	"eventshop.example/services/orchestrator/internal/app"
)

// TestOneLinePerSaga: a saga logs one INFO line, at its end, and a WARN line whenever it asks for a
// person.
func TestOneLinePerSaga(t *testing.T) {
	f, log := newFixture(t), &telemetrytest.Log{Subject: "orderId"}
	f.app = f.process(app.Config{Begin: 1, Log: log.Logger("orchestrator")})

	happy := newOrder()
	f.play(happy, inputsOf(toShipped+" ShipmentDelivered ShipmentDelivered")...)
	log.OneLine(t, happy, telemetrytest.Line{
		"msg": "saga ended", "service": "orchestrator", "status": "DELIVERED", "cause": "ShipmentDelivered", "version": 4.0,
		"correlationId": "correlation-" + happy,
	})

	late := newOrder()
	f.play(late, inputsOf(toReserving+" InventoryReservationFailed DuePassed")...)
	log.Await(t, late, "WARN", "saga needs a person")
	f.play(late, inputsOf("PaymentRefunded OrderCancelled")...)
	log.OneLine(t, late, telemetrytest.Line{"status": "CANCELLED", "reason": "out_of_stock", "detail": "out_of_stock: WIDGET-01: 5 wanted, 2 there"})
}

// TestMetrics: decisions are counted after the commit, duplicates too, and the gauge shows the sagas that
// a person has to look at.
func TestMetrics(t *testing.T) {
	f, registry := newFixture(t), prometheus.NewRegistry()
	f.app = f.process(app.Config{Begin: 1, Registerer: registry})
	id := newOrder()
	f.play(id, inputsOf(toReserving+" PaymentCompleted DuePassed")...)
	f.app.Count(t.Context())
	want := `# HELP saga_decisions_total What orchestrated sagas made of inputs: apply, duplicate, compensate, wait, refuse.
# TYPE saga_decisions_total counter
saga_decisions_total{action="apply",input="OrderCreated"} 1
saga_decisions_total{action="apply",input="PaymentCompleted"} 1
saga_decisions_total{action="duplicate",input="PaymentCompleted"} 1
saga_decisions_total{action="wait",input="DuePassed"} 1
# HELP sagas_needing_attention Orchestrated sagas a person has to look at.
# TYPE sagas_needing_attention gauge
sagas_needing_attention 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
