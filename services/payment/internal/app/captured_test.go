package app_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/internal/payment"
)

// another is the order again, as an event that was repaired or made anew would tell of it:
// with another amount and currency.
func another(orderID string) consumer.Event[events.OrderCreated] {
	e := created(orderID)
	e.Data.TotalAmount, e.Data.Currency = 1, "EUR"
	return e
}

// TestWhatWasCapturedOutranksWhatWasDue: the money that moved is what the row says, what
// goes back and what is told, whatever a later OrderCreated asks for.
func TestWhatWasCapturedOutranksWhatWasDue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(k *kit, e consumer.Event[events.OrderCreated])
		state  payment.State
	}{
		"recorded": {func(k *kit, e consumer.Event[events.OrderCreated]) {
			if err := k.create(e); err != nil {
				k.t.Fatal(err)
			}
		}, payment.Completed},
		"found by the void": {func(k *kit, e consumer.Event[events.OrderCreated]) {
			if _, err := k.app.ChargeOnOrderCreated(context.Background(), e); err != nil { // and the process dies
				k.t.Fatal(err)
			}
		}, payment.Refunding},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			id := newOrder()
			c.before(k, created(id))
			k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Down: true})
			k.work(k.app)
			if c.state == payment.Refunding {
				tell(k, k.app.OnShipmentCancelled, cancelled(id))
				k.awaitAttempts(id, 1)
			}
			k.expectState(id, c.state)
			if err := k.create(another(id)); err != nil {
				t.Fatal(err)
			}
			k.expectState(id, c.state)
			if p := k.get(id); p.Amount != total || p.Currency != "GBP" {
				t.Errorf("the row has %d %s, captured were %d GBP", p.Amount, p.Currency, total)
			}
			tell(k, k.app.OnShipmentCancelled, cancelled(id))
			k.gateway.Mend()
			k.advance(backoffMax)
			k.await(id, payment.Refunded)
			k.expectLedger(id, capture, "refund refund-%s 9999 customer")
			if p := k.get(id); p.Amount != total || p.Currency != "GBP" {
				t.Errorf("the row has %d %s after the refund", p.Amount, p.Currency)
			}
		})
	}
}

// TestALateVoidTellsWhatToGiveBack: the row knows no amount when the compensation comes
// first, or a wrong one; the gateway's answer to the void has it.
func TestALateVoidTellsWhatToGiveBack(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := newOrder()
	if _, err := k.app.ChargeOnOrderCreated(context.Background(), created(id)); err != nil {
		t.Fatal(err)
	}
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	if err := k.create(another(id)); err != nil { // its amount is learnt, its charge refused
		t.Fatal(err)
	}
	if p := k.get(id); p.State != string(payment.Voiding) || p.Amount != 1 || p.Currency != "EUR" {
		t.Fatalf("row %+v", p)
	}
	k.work(k.app)
	k.await(id, payment.Refunded)
	k.expectLedger(id, capture, "refund refund-%s 9999 customer")
	k.expectTold(id, "PaymentCompleted@1", "PaymentRefunded@2")
	if p := k.get(id); p.Amount != total || p.Currency != "GBP" {
		t.Errorf("the row has %d %s", p.Amount, p.Currency)
	}
}

// TestAPartialRefundAsksForAPerson: a part of the money went back by other means. The
// order keeps its RefundFailed until the rest is back too.
func TestAPartialRefundAsksForAPerson(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.paid()
	hand := gateway.New(k.gateway.URL, 0, patient())
	partly := func(key string, amount int64) {
		t.Helper()
		_, err := hand.Refund(context.Background(), key, gateway.RefundRequest{ChargeKey: "charge-" + id, Amount: amount, Reason: "kindness"})
		if err != nil {
			t.Fatal(err)
		}
	}
	partly("by-hand-1", 9000)
	k.work(k.app)
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	for n := int32(1); n < maxAttempts; n++ {
		k.awaitAttempts(id, n)
		k.advance(backoffMax)
	}
	k.await(id, payment.RefundFailed)
	if p := k.get(id); !strings.Contains(p.Attention, "over_refund") {
		t.Errorf("attention: %q", p.Attention)
	}
	k.expectTold(id, "PaymentCompleted@1", "PaymentRefundFailed@2")
	partly("by-hand-2", 999)
	if err := k.retry(id); err != nil {
		t.Fatal(err)
	}
	k.await(id, payment.Refunded)
	if net := k.gateway.Net("charge-" + id); net != 0 {
		t.Errorf("holds %d", net)
	}
}

// TestKeysComeFromTheOrder: whatever event asks, however often, under one key. The gateway
// would take the money once for each key.
func TestKeysComeFromTheOrder(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := newOrder()
	for range 3 { // three events of one order; the answers to the first two are lost with their processes
		if _, err := k.app.ChargeOnOrderCreated(context.Background(), created(id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.create(created(id)); err != nil {
		t.Fatal(err)
	}
	k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: http.StatusServiceUnavailable, Times: 2})
	k.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Down: true})
	k.work(k.app)
	tell(k, k.app.OnShipmentFailed, event(events.ShipmentFailed{OrderID: id}))
	for n := int32(1); n < maxAttempts; n++ {
		k.awaitAttempts(id, n)
		k.advance(backoffMax)
	}
	k.await(id, payment.Refunded)
	k.expectLedger(id, capture, "refund refund-%s 9999 shipment_failed")
}

// TestAnOrderThatVanishedIsNotGuessedAbout: the decision inside the transaction is made on
// the locked row and not on what the row said before the call.
func TestAnOrderThatVanishedIsNotGuessedAbout(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.paid()
	e := created(id)
	answer, err := k.app.ChargeOnOrderCreated(context.Background(), e)
	if err != nil || answer != (gateway.Answer{}) {
		t.Fatalf("a paid order was charged for: %+v, %v", answer, err)
	}
	if _, err := k.pool.Exec(context.Background(), `DELETE FROM payment_history`); err != nil {
		t.Fatal(err)
	}
	if _, err := k.pool.Exec(context.Background(), `DELETE FROM payments`); err != nil {
		t.Fatal(err)
	}
	if err := k.record(e, answer); errs.KindOf(err) != errs.Transient {
		t.Fatalf("error %v is %s", err, errs.KindOf(err))
	}
	if err := k.create(e); err != nil {
		t.Fatal(err)
	}
	k.expectState(id, payment.Completed)
	k.expectLedger(id, capture)
}

// TestALateCaptureLeavesTheRefundItsAttempts: the void had used some up when the process that
// had charged came to record it.
func TestALateCaptureLeavesTheRefundItsAttempts(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := newOrder()
	e := created(id)
	answer, err := k.app.ChargeOnOrderCreated(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	k.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Down: true})
	k.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Down: true})
	k.work(k.app)
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	for n := int32(1); n < maxAttempts; n++ {
		k.awaitAttempts(id, n)
		if n < maxAttempts-1 {
			k.advance(backoffMax)
		}
	}
	if err := k.record(e, answer); err != nil {
		t.Fatal(err)
	}
	if p := k.get(id); p.State != string(payment.Refunding) || p.Attempts != 0 || p.LastError != "" || !p.ReturningSince.Equal(k.time()) {
		t.Errorf("row %+v", p)
	}
	k.advance(backoffMax)
	k.await(id, payment.Refunded)
	k.expectTold(id, "PaymentCompleted@1", "PaymentRefunded@2")
}
