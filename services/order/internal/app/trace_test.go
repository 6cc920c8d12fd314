package app_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/telemetry"
)

// TestADeadlineGoesOnWithTheTraceOfItsOrder: the events of the request that placed an order have
// the request as their parent in the trace. The events of its deadline have a span of the worker in
// the same trace as their parent. The deadline of an order without a stored trace starts a new one.
func TestADeadlineGoesOnWithTheTraceOfItsOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const request = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	var traced string
	err := f.tx(func(tx pgx.Tx) error {
		o, _, err := f.app.PlaceOrder(telemetry.WithTrace(context.Background(), request, "vendor=1"), tx, cart())
		traced = o.ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	before := f.place(cart()).ID
	if _, err := f.pool.Exec(t.Context(), `UPDATE saga_deadlines SET traceparent = DEFAULT, tracestate = DEFAULT WHERE order_id = $1`, before); err != nil {
		t.Fatal(err)
	}
	f.advance(6 * time.Minute)
	if n, err := f.app.PassDeadlines(context.Background()); n != 2 || err != nil {
		t.Fatalf("%d deadlines, %v", n, err)
	}
	if n := f.count(`SELECT count(*) FROM outbox WHERE aggregate_id = $1 AND traceparent = $2 AND tracestate = 'vendor=1'`, traced, request); n != 2 {
		t.Errorf("%d events have the request as their parent, want OrderCreated and OrderPlaced", n)
	}
	parents := func(id string) (parents []string) {
		rows, err := f.pool.Query(t.Context(), `SELECT traceparent FROM outbox WHERE aggregate_id = $1 AND event_type = 'OrderCancellationRequested'`, id)
		if err != nil {
			t.Fatal(err)
		}
		if parents, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
		return parents
	}
	if got := parents(traced); len(got) != 1 || telemetry.TraceID(got[0]) != telemetry.TraceID(request) || got[0][36:52] == request[36:52] || got[0][53:] != "00" {
		t.Errorf("the cancellation that a deadline requests has %q, want one child of %s", got, request)
	}
	if got := parents(before); len(got) != 1 || !telemetry.ValidTraceParent(got[0]) {
		t.Errorf("the deadline of an order without a trace has %q, want one new trace", got)
	}
}
