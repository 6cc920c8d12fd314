package app_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

// eventsFixture is a fixture whose events can be decoded.
type eventsFixture struct {
	*fixture
	codec *schema.Codec
}

func newEventsFixture(t testing.TB) eventsFixture {
	t.Helper()
	registry := schematest.Start(t).URL
	f := newFixtureWithoutApp(t)
	f.app = f.replica(registry)
	return eventsFixture{f, schema.NewCodec(schema.NewClient(registry), events.Catalogue())}
}

// expectEvents compares the decoded events of an order in the outbox.
func (f eventsFixture) expectEvents(orderID string, want ...event.Event) {
	f.t.Helper()
	rows, err := f.pool.Query(context.Background(), `SELECT event_type, payload FROM outbox WHERE aggregate_id = $1 ORDER BY seq`, orderID)
	if err != nil {
		f.t.Fatal(err)
	}
	type stored struct {
		Name    string
		Payload []byte
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stored])
	if err != nil {
		f.t.Fatal(err)
	}
	got := []event.Event{}
	for _, r := range all {
		typ, ok := events.Catalogue().Lookup(r.Name)
		if !ok {
			f.t.Fatalf("unknown type %s", r.Name)
		}
		e, err := f.codec.Decode(context.Background(), typ, r.Payload)
		if err != nil {
			f.t.Fatal(err)
		}
		got = append(got, e)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Errorf("emitted (-want +got):\n%s", diff)
	}
}

// yen returns an order in a currency without decimals.
func yen(orderID string) (e events.OrderCreated) {
	e = created(orderID).Data
	e.TotalAmount, e.Currency = 12345, "JPY"
	return e
}

// TestMoneyIsEmittedAsItMoved: amounts, currency and ids are the gateway's, for the capture and for
// the refund.
func TestMoneyIsEmittedAsItMoved(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	id := newOrder()
	if err := f.create(delivered(yen(id))); err != nil {
		t.Fatal(err)
	}
	at := f.time()
	mustReceive(f.fixture, app.OnInventoryReservationFailed, delivered(events.InventoryReservationFailed{OrderID: id, Reason: "unknown_sku"}))
	f.work(f.app)
	f.await(id, payment.Refunded)
	mustReceive(f.fixture, app.OnShipmentCancelled, cancelled(id)) // its reason comes too late
	f.expectEvents(id,
		&events.PaymentCompleted{OrderID: id, PaymentID: "payment-" + id, Amount: 12345, Currency: "JPY", OccurredAt: at},
		&events.PaymentRefunded{OrderID: id, PaymentID: "payment-" + id, RefundID: "re-" + id, Amount: 12345, Currency: "JPY",
			Reason: "out_of_stock", OccurredAt: at})
	f.expectLedger(id, "capture charge-%s 12345 JPY", "refund refund-%s 12345 out_of_stock")
}

// TestACaptureThatTheVoidFoundIsEmittedWithItsReturn, in this order, although one transaction emits
// both: a consumer that adds up money needs both.
func TestACaptureThatTheVoidFoundIsEmittedWithItsReturn(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	id := newOrder()
	if _, err := f.charge(delivered(yen(id))); err != nil {
		t.Fatal(err)
	}
	at := f.time()
	late := cancelled(id)
	late.Data.Reason = "the carrier's own word"
	mustReceive(f.fixture, app.OnShipmentCancelled, late)
	f.work(f.app)
	f.await(id, payment.Refunded)
	f.expectEvents(id,
		&events.PaymentCompleted{OrderID: id, PaymentID: "payment-" + id, Amount: 12345, Currency: "JPY", OccurredAt: at},
		&events.PaymentRefunded{OrderID: id, PaymentID: "payment-" + id, RefundID: "re-" + id, Amount: 12345, Currency: "JPY",
			Reason: "shipment_failed", OccurredAt: at})
}

// TestWhyNoMoneyMovedIsEmitted: declined, stopped, or not refunded.
func TestWhyNoMoneyMovedIsEmitted(t *testing.T) {
	t.Parallel()
	t.Run("declined", func(t *testing.T) {
		t.Parallel()
		f := newEventsFixture(t)
		id := newOrder()
		f.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Decline: "insufficient_funds"})
		if err := f.create(created(id)); err != nil {
			t.Fatal(err)
		}
		f.expectEvents(id, &events.PaymentFailed{OrderID: id, Reason: "insufficient_funds", OccurredAt: f.time()})
	})
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		f := newEventsFixture(t)
		id := newOrder()
		mustReceive(f.fixture, app.OnShipmentCancelled, cancelled(id))
		f.work(f.app)
		f.await(id, payment.Voided)
		f.expectEvents(id, &events.PaymentVoided{OrderID: id, Reason: "customer", OccurredAt: f.time()})
	})
	t.Run("not given back", func(t *testing.T) {
		t.Parallel()
		f := newEventsFixture(t)
		id := f.paid()
		f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: 503})
		at := f.time()
		f.work(f.app)
		mustReceive(f.fixture, app.OnShipmentCancelled, cancelled(id))
		for n := int32(1); n < maxAttempts; n++ {
			f.awaitAttempts(id, n)
			f.advance(backoffMax)
		}
		f.await(id, payment.RefundFailed)
		f.expectEvents(id,
			&events.PaymentCompleted{OrderID: id, PaymentID: "payment-" + id, Amount: total, Currency: "GBP", OccurredAt: at},
			&events.PaymentRefundFailed{OrderID: id, PaymentID: "payment-" + id, Amount: total, Currency: "GBP",
				Reason: f.get(id).LastError, Attempts: maxAttempts, OccurredAt: f.time()})
		if f.get(id).LastError == "" {
			t.Error("no reason is emitted")
		}
	})
}

// awaitBlocked returns when a session of this database waits for a lock of another session.
func (f *fixture) awaitBlocked() {
	f.t.Helper()
	kafkatest.Eventually(f.t, "a session to wait for a lock", func() bool {
		var blocked bool
		err := f.pool.QueryRow(context.Background(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid IN
			(SELECT pid FROM pg_stat_activity WHERE datname = current_database()))`).Scan(&blocked)
		return err == nil && blocked
	})
}

// TestTwoEventsOfAnOrderQueue: a cancellation that arrives while the charge is being recorded waits
// at the order's row, which the other transaction has locked but not changed yet. It then finds the
// captured money.
func TestTwoEventsOfAnOrderQueue(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	id := newOrder()
	e := created(id)
	answer, err := f.charge(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.record(e, gateway.Answer{Outcome: gateway.Voided}); err != nil { // so there is a row
		t.Fatal(err)
	}
	second := make(chan error, 1)
	err = f.tx(func(tx pgx.Tx) error {
		if _, err := tx.Exec(context.Background(), `SELECT FROM payments WHERE order_id = $1 FOR UPDATE`, id); err != nil {
			return err
		}
		go func() { second <- receive(f.fixture, app.OnShipmentCancelled, cancelled(id)) }()
		f.awaitBlocked()
		_, err := f.app.Payments.Run(context.Background(), tx, stepOf(f.fixture, answered(answer), e))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	f.expectState(id, payment.Refunding)
	f.work(f.app)
	f.await(id, payment.Refunded)
	f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefunded@2")
}

// TestALockedPaymentKeepsNoOtherWaiting: the worker skips a row that an event has locked.
func TestALockedPaymentKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	f := newEventsFixture(t)
	locked, other := f.paid(), f.paid()
	for _, id := range []string{locked, other} {
		mustReceive(f.fixture, app.OnShipmentCancelled, cancelled(id))
	}
	err := f.tx(func(tx pgx.Tx) error {
		if _, err := tx.Exec(context.Background(), `SELECT FROM payments WHERE order_id = $1 FOR UPDATE`, locked); err != nil {
			return err
		}
		f.work(f.app)
		f.await(other, payment.Refunded)
		f.expectState(locked, payment.Refunding)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.await(locked, payment.Refunded)
}

// TestNoWaitIsLongerThanTheLongest: the jitter is added to the backoff, not to its bound.
func TestNoWaitIsLongerThanTheLongest(t *testing.T) {
	t.Parallel()
	f := newFixtureWithoutApp(t)
	registry := schematest.Start(t).URL
	f.app = app.New(app.Config{
		Pool: f.pool, Outbox: newOutbox(schema.NewCodec(schema.NewClient(registry), events.Catalogue())),
		Gateway: gateway.New(f.gateway.URL, 10*time.Second, patient()), Log: slog.New(slog.DiscardHandler), Now: f.time,
		Refunds: app.Refunds{MaxAttempts: 100, BackoffBase: 8 * time.Second, BackoffMax: backoffMax, Lease: lease, Poll: 10 * time.Millisecond},
	})
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: 503})
	id := f.paid()
	f.work(f.app)
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	for n := int32(1); n <= 3; n++ {
		f.awaitAttempts(id, n)
		wait := f.get(id).NextAttemptAt.Sub(f.time())
		if wait > backoffMax || n > 1 && wait != backoffMax {
			t.Errorf("attempt %d is followed by a wait of %s, the longest is %s", n, wait, backoffMax)
		}
		f.advance(backoffMax)
	}
}
