package app_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/internal/payment"
)

// teller is a kit whose events can be read.
type teller struct {
	*kit
	codec *schema.Codec
}

func newTeller(t testing.TB) teller {
	t.Helper()
	registry := schematest.Start(t).URL
	k := newWorld(t)
	k.app = k.replica(registry)
	return teller{k, schema.NewCodec(schema.NewClient(registry))}
}

// expectEvents compares what the outbox holds for an order, decoded.
func (k teller) expectEvents(orderID string, want ...events.Event) {
	k.t.Helper()
	rows, err := k.pool.Query(context.Background(), `SELECT event_type, payload FROM outbox WHERE aggregate_id = $1 ORDER BY seq`, orderID)
	if err != nil {
		k.t.Fatal(err)
	}
	type stored struct {
		Name    string
		Payload []byte
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stored])
	if err != nil {
		k.t.Fatal(err)
	}
	got := []events.Event{}
	for _, r := range all {
		typ, ok := events.Lookup(r.Name)
		if !ok {
			k.t.Fatalf("unknown type %s", r.Name)
		}
		e, err := k.codec.Decode(context.Background(), typ, r.Payload)
		if err != nil {
			k.t.Fatal(err)
		}
		got = append(got, e)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		k.t.Errorf("told (-want +got):\n%s", diff)
	}
}

// yen is an order in another currency, whose unit is the smallest there is.
func yen(orderID string) (e events.OrderCreated) {
	e = created(orderID).Data
	e.TotalAmount, e.Currency = 12345, "JPY"
	return e
}

// TestMoneyIsToldAsItMoved: amounts, currency and ids are the gateway's, when it is taken
// and when it goes back.
func TestMoneyIsToldAsItMoved(t *testing.T) {
	t.Parallel()
	k := newTeller(t)
	id := newOrder()
	if err := k.create(event(yen(id))); err != nil {
		t.Fatal(err)
	}
	at := k.time()
	tell(k.kit, k.app.OnInventoryReservationFailed, event(events.InventoryReservationFailed{OrderID: id, Reason: "unknown_sku"}))
	k.work(k.app)
	k.await(id, payment.Refunded)
	tell(k.kit, k.app.OnShipmentCancelled, cancelled(id)) // its reason comes too late
	k.expectEvents(id,
		&events.PaymentCompleted{OrderID: id, PaymentID: "payment-" + id, Amount: 12345, Currency: "JPY", OccurredAt: at},
		&events.PaymentRefunded{OrderID: id, PaymentID: "payment-" + id, RefundID: "re-" + id, Amount: 12345, Currency: "JPY",
			Reason: "out_of_stock", OccurredAt: at})
	k.expectLedger(id, "capture charge-%s 12345 JPY", "refund refund-%s 12345 out_of_stock")
}

// TestACaptureThatTheVoidFoundIsToldWithItsReturn, in this order, although one transaction
// tells both: whoever adds up needs both.
func TestACaptureThatTheVoidFoundIsToldWithItsReturn(t *testing.T) {
	t.Parallel()
	k := newTeller(t)
	id := newOrder()
	if _, err := k.app.ChargeOnOrderCreated(context.Background(), event(yen(id))); err != nil {
		t.Fatal(err)
	}
	at := k.time()
	late := cancelled(id)
	late.Data.Reason = "the carrier's own word"
	tell(k.kit, k.app.OnShipmentCancelled, late)
	k.work(k.app)
	k.await(id, payment.Refunded)
	k.expectEvents(id,
		&events.PaymentCompleted{OrderID: id, PaymentID: "payment-" + id, Amount: 12345, Currency: "JPY", OccurredAt: at},
		&events.PaymentRefunded{OrderID: id, PaymentID: "payment-" + id, RefundID: "re-" + id, Amount: 12345, Currency: "JPY",
			Reason: "shipment_failed", OccurredAt: at})
}

// TestWhyNoMoneyMovedIsTold: declined, stopped, or not given back.
func TestWhyNoMoneyMovedIsTold(t *testing.T) {
	t.Parallel()
	t.Run("declined", func(t *testing.T) {
		t.Parallel()
		k := newTeller(t)
		id := newOrder()
		k.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Decline: "insufficient_funds"})
		if err := k.create(created(id)); err != nil {
			t.Fatal(err)
		}
		k.expectEvents(id, &events.PaymentFailed{OrderID: id, Reason: "insufficient_funds", OccurredAt: k.time()})
	})
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		k := newTeller(t)
		id := newOrder()
		tell(k.kit, k.app.OnShipmentCancelled, cancelled(id))
		k.work(k.app)
		k.await(id, payment.Voided)
		k.expectEvents(id, &events.PaymentVoided{OrderID: id, Reason: "customer", OccurredAt: k.time()})
	})
	t.Run("not given back", func(t *testing.T) {
		t.Parallel()
		k := newTeller(t)
		id := k.paid()
		k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: 503})
		at := k.time()
		k.work(k.app)
		tell(k.kit, k.app.OnShipmentCancelled, cancelled(id))
		for n := int32(1); n < maxAttempts; n++ {
			k.awaitAttempts(id, n)
			k.advance(backoffMax)
		}
		k.await(id, payment.RefundFailed)
		k.expectEvents(id,
			&events.PaymentCompleted{OrderID: id, PaymentID: "payment-" + id, Amount: total, Currency: "GBP", OccurredAt: at},
			&events.PaymentRefundFailed{OrderID: id, PaymentID: "payment-" + id, Amount: total, Currency: "GBP",
				Reason: k.get(id).LastError, Attempts: maxAttempts, OccurredAt: k.time()})
		if k.get(id).LastError == "" {
			t.Error("no reason is told")
		}
	})
}

// awaitBlocked returns when a session of this database waits for another's lock.
func (k *kit) awaitBlocked() {
	k.t.Helper()
	kafkatest.Eventually(k.t, "a session to wait for a lock", func() bool {
		var blocked bool
		err := k.pool.QueryRow(context.Background(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid IN
			(SELECT pid FROM pg_stat_activity WHERE datname = current_database()))`).Scan(&blocked)
		return err == nil && blocked
	})
}

// TestTwoEventsOfAnOrderQueue: a cancellation that comes while the charge is being recorded
// waits at the order's row, which the other has locked and not changed yet, and finds what
// was taken.
func TestTwoEventsOfAnOrderQueue(t *testing.T) {
	t.Parallel()
	k := newTeller(t)
	id := newOrder()
	e := created(id)
	answer, err := k.app.ChargeOnOrderCreated(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.record(e, gateway.Answer{Outcome: gateway.Voided}); err != nil { // so there is a row
		t.Fatal(err)
	}
	second := make(chan error, 1)
	err = k.tx(func(tx pgx.Tx) error {
		if _, err := tx.Exec(context.Background(), `SELECT FROM payments WHERE order_id = $1 FOR UPDATE`, id); err != nil {
			return err
		}
		go func() {
			second <- k.tx(func(tx pgx.Tx) error { return k.app.OnShipmentCancelled(context.Background(), tx, cancelled(id)) })
		}()
		k.awaitBlocked()
		return k.app.OnOrderCreated(context.Background(), tx, e, answer)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	k.expectState(id, payment.Refunding)
	k.work(k.app)
	k.await(id, payment.Refunded)
	k.expectTold(id, "PaymentCompleted@1", "PaymentRefunded@2")
}

// TestALockedPaymentKeepsNoOtherWaiting: the worker passes over a row that an event is at.
func TestALockedPaymentKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	k := newTeller(t)
	locked, other := k.paid(), k.paid()
	for _, id := range []string{locked, other} {
		tell(k.kit, k.app.OnShipmentCancelled, cancelled(id))
	}
	err := k.tx(func(tx pgx.Tx) error {
		if _, err := tx.Exec(context.Background(), `SELECT FROM payments WHERE order_id = $1 FOR UPDATE`, locked); err != nil {
			return err
		}
		k.work(k.app)
		k.await(other, payment.Refunded)
		k.expectState(locked, payment.Refunding)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	k.await(locked, payment.Refunded)
}

// TestNoWaitIsLongerThanTheLongest: jitter is on top of the backoff, and not of its bound.
func TestNoWaitIsLongerThanTheLongest(t *testing.T) {
	t.Parallel()
	k := newWorld(t)
	registry := schematest.Start(t).URL
	k.app = app.New(app.Config{
		Pool: k.pool, Outbox: outbox.New(schema.NewCodec(schema.NewClient(registry)), "/eventshop/payment"),
		Gateway: gateway.New(k.gateway.URL, 10*time.Second, patient()), Log: slog.New(slog.DiscardHandler), Now: k.time,
		Refunds: app.Refunds{MaxAttempts: 100, BackoffBase: 8 * time.Second, BackoffMax: backoffMax, Lease: lease, Poll: 10 * time.Millisecond},
	})
	k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: 503})
	id := k.paid()
	k.work(k.app)
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	for n := int32(1); n <= 3; n++ {
		k.awaitAttempts(id, n)
		wait := k.get(id).NextAttemptAt.Sub(k.time())
		if wait > backoffMax || n > 1 && wait != backoffMax {
			t.Errorf("attempt %d is followed by a wait of %s, the longest is %s", n, wait, backoffMax)
		}
		k.advance(backoffMax)
	}
}
