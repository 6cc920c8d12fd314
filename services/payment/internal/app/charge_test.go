package app_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/internal/payment"
)

const capture = "capture charge-%s 9999 GBP"

func TestAnOrderIsChargedOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := newOrder()
	for range 3 { // a redelivered event, or one whose inbox row is gone
		if err := k.create(created(id)); err != nil {
			t.Fatal(err)
		}
	}
	p := k.get(id)
	if p.State != string(payment.Completed) || p.Amount != total || p.Currency != "GBP" || p.ChargeID != "ch-"+id || p.CustomerID != "cust-7" {
		t.Errorf("row %+v", p)
	}
	k.expectTold(id, "PaymentCompleted@1")
	k.expectLedger(id, capture)
	if n := k.gateway.Calls(gatewaytest.Charge); n != 1 {
		t.Errorf("the gateway was asked %d times", n)
	}
	if diff := cmp.Diff([]string{"ChargeCaptured COMPLETED"}, k.history(id)); diff != "" {
		t.Error(diff)
	}
}

func TestADeclinedCardFailsThePayment(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.work(k.app)
	k.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Decline: "insufficient_funds"})
	id := newOrder()
	for range 2 {
		if err := k.create(created(id)); err != nil {
			t.Fatal(err)
		}
	}
	k.expectState(id, payment.Failed)
	if p := k.get(id); p.DeclineCode != "insufficient_funds" || p.ChargeID != "" {
		t.Errorf("row %+v", p)
	}
	tell(k, k.app.OnShipmentCancelled, cancelled(id)) // nothing is held, nobody is asked
	k.expectState(id, payment.Failed)
	k.expectTold(id, "PaymentFailed@1")
	k.expectLedger(id, "decline charge-%s insufficient_funds")
	if n := k.gateway.Calls(gatewaytest.Void); n != 0 {
		t.Errorf("the gateway was asked to void %d times", n)
	}
}

func TestAnAnswerThatGetsLostIsFoundByKey(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]gatewaytest.Fault{
		"cut after it charged":  {AnswerLost: true},
		"slow after it charged": {HangAfter: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			k.gateway.Fail(gatewaytest.Charge, fault)
			id := newOrder()
			if err := k.create(created(id)); err != nil {
				t.Fatal(err)
			}
			k.expectState(id, payment.Completed)
			k.expectTold(id, "PaymentCompleted@1")
			k.expectLedger(id, capture)
		})
	}
}

// TestAnUnknownOutcomeIsTransientAndWritesNothing: the partition waits, and the same key
// tells later.
func TestAnUnknownOutcomeIsTransientAndWritesNothing(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string]map[string]gatewaytest.Fault{
		"down":    {gatewaytest.Charge: {Down: true}, gatewaytest.Lookup: {Down: true}},
		"timeout": {gatewaytest.Charge: {Hang: true}, gatewaytest.Lookup: {Hang: true}},
		"5xx":     {gatewaytest.Charge: {Status: http.StatusBadGateway}, gatewaytest.Lookup: {Status: http.StatusBadGateway}},
		"charged, answer lost, then down": {
			gatewaytest.Charge: {AnswerLost: true}, gatewaytest.Lookup: {Down: true},
		},
		"charged, timeout, then down": {
			gatewaytest.Charge: {HangAfter: true}, gatewaytest.Lookup: {Down: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			for operation, fault := range faults {
				k.gateway.Fail(operation, fault)
			}
			id := newOrder()
			e := created(id)
			if err := k.create(e); errs.KindOf(err) != errs.Transient {
				t.Fatalf("error %v is %s", err, errs.KindOf(err))
			}
			if _, _, err := k.app.GetPayment(context.Background(), k.pool, id); errs.KindOf(err) != errs.NotFound {
				t.Fatalf("there is a row already, or: %v", err)
			}
			k.gateway.Mend()
			if err := k.create(e); err != nil {
				t.Fatal(err)
			}
			k.expectState(id, payment.Completed)
			k.expectTold(id, "PaymentCompleted@1")
			k.expectLedger(id, capture)
		})
	}
}

// TestARefusalIsBelievedOnceTheKeyIsClosed: a 400, or another refusal that the gateway
// keeps no record of, tells nothing about an earlier request under the same key.
func TestARefusalIsBelievedOnceTheKeyIsClosed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity} {
		refusal := gatewaytest.Fault{Status: status}
		t.Run(http.StatusText(status)+" after a capture nobody wrote down", func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			id := newOrder()
			e := created(id)
			if _, err := k.app.ChargeOnOrderCreated(context.Background(), e); err != nil {
				t.Fatal(err)
			}
			k.gateway.Fail(gatewaytest.Charge, refusal)
			if err := k.create(e); err != nil {
				t.Fatal(err)
			}
			k.expectState(id, payment.Completed)
			k.expectTold(id, "PaymentCompleted@1")
			k.expectLedger(id, capture)
		})
		t.Run(http.StatusText(status)+" at once", func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			k.work(k.app)
			k.gateway.Fail(gatewaytest.Charge, refusal)
			id := newOrder()
			if err := k.create(created(id)); err != nil {
				t.Fatal(err)
			}
			k.expectState(id, payment.Failed)
			k.gateway.Mend()
			answer, err := gateway.New(k.gateway.URL, 0, patient()).Charge(context.Background(), "charge-"+id,
				gateway.ChargeRequest{OrderID: id, CustomerID: "cust-7", Amount: total, Currency: "GBP"})
			if err != nil || answer.Outcome != gateway.Voided {
				t.Errorf("a request that was still on its way gave %+v, %v", answer, err)
			}
			tell(k, k.app.OnShipmentCancelled, cancelled(id))
			k.expectTold(id, "PaymentFailed@1")
			k.expectLedger(id, "void charge-%s")
		})
		t.Run(http.StatusText(status)+" and nobody knows", func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			k.gateway.Fail(gatewaytest.Charge, refusal)
			k.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Down: true})
			id := newOrder()
			if err := k.create(created(id)); errs.KindOf(err) != errs.Transient {
				t.Fatalf("error %v is %s", err, errs.KindOf(err))
			}
			k.expectLedger(id)
		})
	}
}

// TestTwoProcessesCloseAKey: one refusal, a cancellation in between, and nothing that
// looks like a contradiction.
func TestTwoProcessesCloseAKey(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Status: http.StatusBadRequest, Times: 1})
	id := newOrder()
	e := created(id)
	refused, err := k.app.ChargeOnOrderCreated(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	again, err := k.app.ChargeOnOrderCreated(context.Background(), e)
	if err != nil || refused.Outcome != gateway.Declined || again.Outcome != gateway.Voided {
		t.Fatalf("got %+v, then %+v, %v", refused, again, err)
	}
	k.work(k.app)
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	k.await(id, payment.Voided)
	for _, answer := range []gateway.Answer{refused, again} {
		if err := k.record(e, answer); err != nil {
			t.Fatal(err)
		}
	}
	if p := k.get(id); p.State != string(payment.Voided) || p.Attention != "" {
		t.Errorf("row %+v", p)
	}
	k.expectTold(id, "PaymentVoided@1")
}

// TestWhatConcernsEverybodyIsNoFaultOfTheRecord: a wrong credential or too many requests
// would otherwise decline, or drop, every order there is.
func TestWhatConcernsEverybodyIsNoFaultOfTheRecord(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			id := newOrder()
			for _, operation := range []string{gatewaytest.Charge, gatewaytest.Void, gatewaytest.Lookup} {
				k.gateway.Fail(operation, gatewaytest.Fault{Status: status})
			}
			if err := k.create(created(id)); errs.KindOf(err) != errs.Transient {
				t.Fatalf("error %v is %s", err, errs.KindOf(err))
			}
			if n := k.gateway.Calls(gatewaytest.Void); n != 0 {
				t.Errorf("the key was voided %d times", n)
			}
			k.gateway.Mend()
			if err := k.create(created(id)); err != nil {
				t.Fatal(err)
			}
			k.expectTold(id, "PaymentCompleted@1")
		})
	}
}

// TestTheHandlerAsksAgainRatherThanGuess: the row said that no call was due, and by the
// time of the transaction it is gone.
func TestTheHandlerAsksAgainRatherThanGuess(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	if err := k.record(created(newOrder()), gateway.Answer{}); errs.KindOf(err) != errs.Transient {
		t.Fatalf("error %v is %s", err, errs.KindOf(err))
	}
}

func TestAKeyVoidedByHandWaitsForTheDeadline(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := newOrder()
	_, err := gateway.New(k.gateway.URL, 0, patient()).Void(context.Background(), "charge-"+id, gateway.VoidRequest{OrderID: id})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.create(created(id)); err != nil {
		t.Fatal(err)
	}
	k.expectState(id, payment.None)
	k.expectTold(id)

	k.work(k.app)
	late := cancelled(id)
	late.Data.Reason = "deadline"
	tell(k, k.app.OnShipmentCancelled, late)
	k.await(id, payment.Voided)
	k.expectTold(id, "PaymentVoided@1")
	k.expectLedger(id, "void charge-%s")
	if p := k.get(id); p.Reason != "deadline" || p.Amount != total {
		t.Errorf("row %+v", p)
	}
}

// TestWhatRollsBackLeavesNothing: row, history and outbox commit together.
func TestWhatRollsBackLeavesNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := newOrder()
	e := created(id)
	answer, err := k.app.ChargeOnOrderCreated(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	crash := errs.New(errs.Transient, "the process dies here")
	err = k.tx(func(tx pgx.Tx) error {
		if err := k.app.OnOrderCreated(context.Background(), tx, e, answer); err != nil {
			return err
		}
		return crash
	})
	if err == nil {
		t.Fatal("committed")
	}
	if _, _, err := k.app.GetPayment(context.Background(), k.pool, id); errs.KindOf(err) != errs.NotFound {
		t.Fatalf("there is a row, or: %v", err)
	}
	k.expectTold(id)
	if err := k.create(e); err != nil {
		t.Fatal(err)
	}
	k.expectTold(id, "PaymentCompleted@1")
	k.expectLedger(id, capture)
}
