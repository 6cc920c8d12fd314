package app

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/telemetry"
)

// TestTheFeedGoesOnWithTheTraceOfItsShipment: the carrier's feed has no trace, so dispatch and
// delivery are spans of the trace that scheduled the shipment. Each has the previous one as its
// parent. The first update of a shipment without a stored trace starts one.
func TestTheFeedGoesOnWithTheTraceOfItsShipment(t *testing.T) {
	f := newFixture(t)
	const reserved = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	f.do(f.orderCreated, func() error {
		e := inventoryReservedEvent()
		e.TraceParent, e.TraceState = reserved, "vendor=1"
		return deliver(f, OnInventoryReserved, e)
	})
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.do(f.track)
	if row := f.row(); row.Traceparent == reserved || telemetry.TraceID(row.Traceparent) != telemetry.TraceID(reserved) {
		t.Errorf("the shipment has the trace %s", row.Traceparent)
	}
	f.carrier.Deliver(t, Key(orderID), noon)
	f.do(f.track)
	spans := map[string]bool{reserved[36:52]: true}
	for _, got := range f.traces(t) {
		if telemetry.TraceID(got[0]) != telemetry.TraceID(reserved) || got[0][53:] != "00" || got[1] != "vendor=1" {
			t.Errorf("%q is not in the trace of %s", got, reserved)
		}
		spans[got[0][36:52]] = true
	}
	if len(spans) != 4 { // of InventoryReserved, its handler, and each update
		t.Errorf("%d spans: %v", len(spans), spans)
	}
}

func TestTheFeedStartsATraceForAShipmentWithoutOne(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	if _, err := f.pool.Exec(t.Context(), `UPDATE shipments SET traceparent = DEFAULT, tracestate = DEFAULT`); err != nil {
		t.Fatal(err)
	}
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.do(f.track)
	reported := f.traces(t)
	if len(reported) != 2 || !telemetry.ValidTraceParent(reported[1][0]) || telemetry.TraceID(reported[0][0]) == telemetry.TraceID(reported[1][0]) {
		t.Errorf("traces %q, want a new one for the dispatch", reported)
	}
}

// traces returns traceparent and tracestate of the emitted events in order.
func (f *fixture) traces(t *testing.T) [][2]string {
	t.Helper()
	rows, err := f.pool.Query(t.Context(), `SELECT ARRAY[traceparent, tracestate] FROM outbox ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[[2]string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}
