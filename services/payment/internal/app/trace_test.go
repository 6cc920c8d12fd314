package app_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

// TestARefundGoesOnWithTheTraceOfItsCause: the worker acts long after the event that made the money
// due back. In the trace, its attempt is a child of that event's handler.
func TestARefundGoesOnWithTheTraceOfItsCause(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.paid()
	cause := delivered(events.ShipmentFailed{OrderID: id, Reason: "address_not_served"})
	cause.TraceParent, cause.TraceState = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "vendor=1"
	mustReceive(f, app.OnShipmentFailed, cause)
	handler := f.get(id).Traceparent
	if telemetry.TraceID(handler) != telemetry.TraceID(cause.TraceParent) || handler[36:52] == cause.TraceParent[36:52] {
		t.Errorf("the payment has the trace %s, want a child of %s", handler, cause.TraceParent)
	}
	f.work(f.app)
	f.await(id, payment.Refunded)
	rows, err := f.pool.Query(t.Context(), `SELECT traceparent || ' ' || tracestate FROM outbox WHERE event_type = 'PaymentRefunded'`)
	if err != nil {
		t.Fatal(err)
	}
	refunded, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if telemetry.TraceID(refunded[:55]) != telemetry.TraceID(handler) || refunded[36:52] == handler[36:52] || refunded[53:] != "00 vendor=1" {
		t.Errorf("the refund is emitted with %q, want a child of %s", refunded, handler)
	}
	if diff := cmp.Diff([]string{refunded[:55]}, f.gateway.Traces(gatewaytest.Refund)); diff != "" {
		t.Errorf("traces of the calls for the refund (-want +got):\n%s", diff)
	}
}
