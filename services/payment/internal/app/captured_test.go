package app_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

// another returns the order again with another amount and currency, as a repaired or newly created
// event could have it.
func another(orderID string) consumer.Event[events.OrderCreated] {
	e := created(orderID)
	e.Data.TotalAmount, e.Data.Currency = 1, "EUR"
	return e
}

// TestWhatWasCapturedOutranksWhatWasDue: the row, the refund and the events have the captured
// amount, whatever amount a later OrderCreated has.
func TestWhatWasCapturedOutranksWhatWasDue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(f *fixture, e consumer.Event[events.OrderCreated])
		state  payment.State
	}{
		"recorded": {func(f *fixture, e consumer.Event[events.OrderCreated]) {
			if err := f.create(e); err != nil {
				f.t.Fatal(err)
			}
		}, payment.Completed},
		"found by the void": {func(f *fixture, e consumer.Event[events.OrderCreated]) {
			if _, err := f.charge(e); err != nil { // and the process dies
				f.t.Fatal(err)
			}
		}, payment.Refunding},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := newOrder()
			c.before(f, created(id))
			f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Down: true})
			f.work(f.app)
			if c.state == payment.Refunding {
				mustReceive(f, app.OnShipmentCancelled, cancelled(id))
				f.awaitAttempts(id, 1)
			}
			f.expectState(id, c.state)
			if err := f.create(another(id)); err != nil {
				t.Fatal(err)
			}
			f.expectState(id, c.state)
			if p := f.get(id); p.Amount != total || p.Currency != "GBP" {
				t.Errorf("the row has %d %s, captured were %d GBP", p.Amount, p.Currency, total)
			}
			mustReceive(f, app.OnShipmentCancelled, cancelled(id))
			f.gateway.Mend()
			f.advance(backoffMax)
			f.await(id, payment.Refunded)
			f.expectLedger(id, capture, "refund refund-%s 9999 customer")
			if p := f.get(id); p.Amount != total || p.Currency != "GBP" {
				t.Errorf("the row has %d %s after the refund", p.Amount, p.Currency)
			}
		})
	}
}

// TestALateVoidFindsWhatToGiveBack: when the compensation arrives first, the row has no amount or a
// wrong one. The gateway's answer to the void has the captured amount.
func TestALateVoidFindsWhatToGiveBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := newOrder()
	if _, err := f.charge(created(id)); err != nil {
		t.Fatal(err)
	}
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	if err := f.create(another(id)); err != nil { // its amount is stored, its charge is refused
		t.Fatal(err)
	}
	if p := f.get(id); p.State != string(payment.Voiding) || p.Amount != 1 || p.Currency != "EUR" {
		t.Fatalf("row %+v", p)
	}
	f.work(f.app)
	f.await(id, payment.Refunded)
	f.expectLedger(id, capture, "refund refund-%s 9999 customer")
	f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefunded@2")
	if p := f.get(id); p.Amount != total || p.Currency != "GBP" {
		t.Errorf("the row has %d %s", p.Amount, p.Currency)
	}
}

// TestAPartialRefundAsksForAPerson: a part of the money was refunded by other means. The payment
// stays RefundFailed until the rest is refunded too.
func TestAPartialRefundAsksForAPerson(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.paid()
	hand := gateway.New(f.gateway.URL, 0, patient())
	partly := func(key string, amount int64) {
		t.Helper()
		_, err := hand.Refund(context.Background(), key, gateway.RefundRequest{ChargeKey: "charge-" + id, Amount: amount, Reason: "kindness"})
		if err != nil {
			t.Fatal(err)
		}
	}
	partly("by-hand-1", 9000)
	f.work(f.app)
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	for n := int32(1); n < maxAttempts; n++ {
		f.awaitAttempts(id, n)
		f.advance(backoffMax)
	}
	f.await(id, payment.RefundFailed)
	if p := f.get(id); !strings.Contains(p.Attention, "over_refund") {
		t.Errorf("attention: %q", p.Attention)
	}
	f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefundFailed@2")
	partly("by-hand-2", 999)
	if err := f.retry(id); err != nil {
		t.Fatal(err)
	}
	f.await(id, payment.Refunded)
	if net := f.gateway.Net("charge-" + id); net != 0 {
		t.Errorf("holds %d", net)
	}
}

// TestKeysComeFromTheOrder: every event of an order uses the same key, however often it arrives.
// The gateway would take the money once per key.
func TestKeysComeFromTheOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := newOrder()
	for range 3 { // three events of one order; the answers to the first two are lost with their processes
		if _, err := f.charge(created(id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.create(created(id)); err != nil {
		t.Fatal(err)
	}
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: http.StatusServiceUnavailable, Times: 2})
	f.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Down: true})
	f.work(f.app)
	mustReceive(f, app.OnShipmentFailed, delivered(events.ShipmentFailed{OrderID: id}))
	for n := int32(1); n < maxAttempts; n++ {
		f.awaitAttempts(id, n)
		f.advance(backoffMax)
	}
	f.await(id, payment.Refunded)
	f.expectLedger(id, capture, "refund refund-%s 9999 shipment_failed")
}

// TestAnOrderThatVanishedIsNotGuessedAbout: the decision in the transaction uses the locked row,
// not the row from before the call.
func TestAnOrderThatVanishedIsNotGuessedAbout(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.paid()
	e := created(id)
	answer, err := f.charge(e)
	if err != nil || answer != (gateway.Answer{}) {
		t.Fatalf("a paid order was charged for: %+v, %v", answer, err)
	}
	if _, err := f.pool.Exec(context.Background(), `DELETE FROM payment_history`); err != nil {
		t.Fatal(err)
	}
	if _, err := f.pool.Exec(context.Background(), `DELETE FROM payments`); err != nil {
		t.Fatal(err)
	}
	if err := f.record(e, answer); errs.KindOf(err) != errs.Transient {
		t.Fatalf("error %v is %s", err, errs.KindOf(err))
	}
	if err := f.create(e); err != nil {
		t.Fatal(err)
	}
	f.expectState(id, payment.Completed)
	f.expectLedger(id, capture)
}

// TestALateCaptureLeavesTheRefundItsAttempts: the void had used some attempts when the process that
// had charged recorded the capture.
func TestALateCaptureLeavesTheRefundItsAttempts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := newOrder()
	e := created(id)
	answer, err := f.charge(e)
	if err != nil {
		t.Fatal(err)
	}
	f.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Down: true})
	f.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Down: true})
	f.work(f.app)
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	for n := int32(1); n < maxAttempts; n++ {
		f.awaitAttempts(id, n)
		if n < maxAttempts-1 {
			f.advance(backoffMax)
		}
	}
	if err := f.record(e, answer); err != nil {
		t.Fatal(err)
	}
	if p := f.get(id); p.State != string(payment.Refunding) || p.Attempts != 0 || p.LastError != "" || !p.ReturningSince.Equal(f.time()) {
		t.Errorf("row %+v", p)
	}
	f.advance(backoffMax)
	f.await(id, payment.Refunded)
	f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefunded@2")
}
