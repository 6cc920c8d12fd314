package saga_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/saga"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
)

// outboxes is the outbox that all services of a world share.
type outboxes struct {
	t    *testing.T
	dsn  string
	pool *pgxpool.Pool
}

// withOutboxes gives the shop of a world an outbox to read.
func (w *world) withOutboxes() *outboxes {
	w.t.Helper()
	o := &outboxes{t: w.t, dsn: pgtest.NewURL(w.t, outbox.Component())}
	var err error
	if o.pool, err = pgxpool.New(w.t.Context(), o.dsn); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(o.pool.Close)
	w.reads(map[string]string{"order": o.dsn})
	return o
}

// reads has the shop read databases.
func (w *world) reads(databases map[string]string) {
	u := w.services.URL
	fleet := operators.NewFleet(map[string]string{"order": w.order.URL, "payment": w.payment.URL}, "ada")
	w.shop = saga.New(saga.Endpoints{Order: u, Payment: u, Inventory: u, Shipping: u, Orchestrator: w.orchestrator.URL, Databases: databases}, fleet, now)
}

// had adds published events of an order, a second apart, the last of them so long ago. Each is caused by the
// one before, so a command is answered by the event behind it, or as "PaymentFailed←1" says by that with the
// number, from 0.
func (o *outboxes) had(n int, last time.Duration, types ...string) {
	o.t.Helper()
	cause, ids := "", make([]string, len(types))
	for i, typ := range types {
		id := uuid.Must(uuid.NewV7())
		ids[i] = id.String()
		typ, number, other := strings.Cut(typ, "←")
		if other {
			before, err := strconv.Atoi(number)
			if err != nil {
				o.t.Fatal(err)
			}
			cause = ids[before]
		}
		_, err := o.pool.Exec(o.t.Context(), `INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, key, ce_specversion,
				ce_aggregateversion, ce_causationid, created_at, published_at) VALUES ($1, 0, '', '', $2, 'order.events', $3, '1.0', $4, $5, $6, now())`,
			id, typ, []byte(orderID(n)), i+1, cause, now().Add(-last-time.Duration(len(types)-1-i)*time.Second))
		if err != nil {
			o.t.Fatal(err)
		}
		cause = ids[i]
	}
}

// late formats the late orders as "order status: service to answer event since time".
func (w *world) late(f saga.Filter) []string {
	w.t.Helper()
	list, bad, err := w.shop.List(w.t.Context(), f)
	if err != nil || len(bad) > 0 {
		w.t.Fatal(err, bad)
	}
	return lateOf(list)
}

func lateOf(list []saga.Saga) []string {
	out := []string{}
	for _, s := range list {
		text := s.OrderID + " " + s.Status
		for _, h := range s.Holds {
			if h.Kind == saga.Late {
				text += fmt.Sprintf(", %s to answer %q for %s", h.Group, h.Type, now().Sub(*h.Since))
			}
		}
		out = append(out, text)
	}
	return out
}

// TestLateOrders: an order whose newest event is old is stuck, and the answers that it waits for are named.
// One that waits for the carrier is not, nor one that has moved lately, by whichever service.
func TestLateOrders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.withOutboxes()
	const old = 40 * time.Second
	add := func(n int, status string, last time.Duration, types ...string) map[string]any {
		o.had(n, last, types...)
		return w.underWay(n, status, time.Minute, 50*time.Second)
	}
	add(1, "PENDING", old, "OrderCreated", "OrderPlaced")
	add(2, "PENDING", old, "OrderCreated", "PaymentCompleted")
	add(3, "PENDING", old, "OrderCreated", "PaymentCompleted", "InventoryReserved")
	add(4, "PENDING", 10*time.Second, "OrderCreated", "PaymentCompleted")
	add(5, "PENDING", old, "OrderCreated", "PaymentCompleted", "InventoryReserved", "ShipmentScheduled")
	add(6, "CONFIRMED", old, "OrderCreated", "PaymentCompleted", "InventoryReserved", "ShipmentScheduled", "OrderConfirmed")
	add(7, "CANCELLING", old, "OrderCreated", "PaymentCompleted", "InventoryReserved", "OrderCancellationRequested")
	add(8, "CANCELLING", old, "OrderCreated", "PaymentCompleted", "InventoryReserved", "OrderCancellationRequested", "ShipmentCancelled")
	add(9, "PENDING", old, "OrderCreated", "PaymentCompleted", "InventoryReserved", "ShipmentScheduled", "OrderConfirmed") // it is confirmed by now
	add(10, "PENDING", old, "OrderCreated")["updatedAt"] = now()
	add(11, "SHIPPED", old, "OrderCreated")
	w.payment.Add(1, orderID(12)) // explained by its dead letter
	add(12, "PENDING", old, "OrderCreated")

	want := []string{
		orderID(1) + ` PENDING, payment to answer "OrderCreated" for 40s`,
		orderID(2) + ` PENDING, inventory to answer "PaymentCompleted" for 40s`,
		orderID(3) + ` PENDING, shipping to answer "InventoryReserved" for 40s`,
		orderID(5) + ` PENDING, order to answer "ShipmentScheduled" for 40s`,
		orderID(7) + ` CANCELLING, shipping to answer "OrderCancellationRequested" for 40s`,
		orderID(8) + ` CANCELLING, payment to answer "ShipmentCancelled" for 40s, inventory to answer "ShipmentCancelled" for 40s`,
		orderID(12) + ` PENDING`,
	}
	if diff := cmp.Diff(want, w.late(saga.Filter{Stuck: true, LateAfter: 30 * time.Second})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[6:], w.late(saga.Filter{Stuck: true, LateAfter: 41 * time.Second})); diff != "" {
		t.Errorf("a longer limit: %s", diff)
	}
	if diff := cmp.Diff(want[6:], w.late(saga.Filter{Stuck: true})); diff != "" {
		t.Errorf("no limit: %s", diff)
	}
}

// TestLateOrchestratedOrders: while no orchestrator passes time limits. A saga that asks for attention has its
// own reason.
func TestLateOrchestratedOrders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.withOutboxes()
	for n, types := range []string{
		"OrderCreated", "OrderCreated ChargePayment", "OrderCreated ChargePayment PaymentCompleted",
		"OrderCreated ChargePayment PaymentCompleted ReserveInventory", "OrderCreated ChargePayment",
		"OrderCreated ChargePayment OrderCancellationRequested", "OrderCreated ChargePayment OrderCancellationRequested RefundPayment",
		"OrderCreated ChargePayment PaymentCompleted ChargePayment←0", // an operator had it sent again
		"OrderCreated ChargePayment RefundPayment←0 PaymentFailed←1",  // the compensation overtook its step
		"OrderCreated ChargePayment PaymentCompleted RefundPayment",   // and here it did not
	} {
		o.had(n, 40*time.Second, strings.Fields(types)...)
		w.underWay(n, "PENDING", time.Minute, time.Minute)["saga"] = "orchestrated"
	}
	w.asks(4, "CHARGING", "ChargePayment", "ChargePayment has no answer")
	if diff := cmp.Diff([]string{
		orderID(0) + ` PENDING, orchestrator to answer "OrderCreated" for 40s`,
		orderID(1) + ` PENDING, payment to answer "ChargePayment" for 40s`,
		orderID(2) + ` PENDING, orchestrator to answer "PaymentCompleted" for 40s`,
		orderID(3) + ` PENDING, inventory to answer "ReserveInventory" for 40s`,
		orderID(4) + ` PENDING`,
		orderID(5) + ` PENDING, orchestrator to answer "OrderCancellationRequested" for 40s`,
		orderID(6) + ` PENDING, payment to answer "RefundPayment" for 40s`,
		orderID(7) + ` PENDING, orchestrator to answer "PaymentCompleted" for 40s`,
		orderID(8) + ` PENDING, orchestrator to answer "PaymentFailed" for 40s`,
		orderID(9) + ` PENDING, payment to answer "RefundPayment" for 40s`,
	}, w.late(saga.Filter{Stuck: true, LateAfter: 30 * time.Second})); diff != "" {
		t.Error(diff)
	}
}

// TestLateOrdersThatCannotBeExplained: an outbox that cannot be read may have the answer, and nothing is read
// of an order that was placed long ago. After its deadline an order is listed for that.
func TestLateOrdersThatCannotBeExplained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.withOutboxes()
	o.had(1, 40*time.Second, "OrderCreated", "PaymentCompleted")
	w.underWay(1, "PENDING", time.Minute, time.Minute)
	o.had(2, 40*time.Second, "OrderCreated")
	w.underWay(2, "PENDING", 2*time.Hour, 2*time.Hour)["confirmBy"] = now().Add(time.Hour)
	o.had(3, 40*time.Second, "OrderCreated")
	w.underWay(3, "PENDING", 2*time.Hour, 2*time.Hour)
	f := saga.Filter{Stuck: true, LateAfter: 30 * time.Second}
	aged := []string{orderID(2) + ` PENDING, order to answer "" for 2h0m0s`, orderID(3) + " PENDING"}
	if diff := cmp.Diff(append([]string{orderID(1) + ` PENDING, inventory to answer "PaymentCompleted" for 40s`}, aged...), w.late(f)); diff != "" {
		t.Error(diff)
	}
	w.reads(map[string]string{"order": o.dsn, "inventory": "postgres://ada@127.0.0.1:1/x"})
	list, bad, err := w.shop.List(t.Context(), f)
	if diff := cmp.Diff(append([]string{orderID(1) + ` PENDING, order to answer "" for 40s`}, aged...), lateOf(list)); diff != "" || err != nil ||
		len(bad) != 1 || !strings.Contains(bad[0].Error(), "inventory's outbox cannot be read") {
		t.Errorf("%v, %v, %s", err, bad, diff)
	}
}
