package app_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

const capture = "capture charge-%s 9999 GBP"

func TestAnOrderIsChargedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := newOrder()
	for range 3 { // a redelivered event, or one whose inbox row is gone
		if err := f.create(created(id)); err != nil {
			t.Fatal(err)
		}
	}
	p := f.get(id)
	if p.State != string(payment.Completed) || p.Amount != total || p.Currency != "GBP" || p.ChargeID != "ch-"+id || p.CustomerID != "cust-7" {
		t.Errorf("row %+v", p)
	}
	f.expectEmitted(id, "PaymentCompleted@1")
	f.expectLedger(id, capture)
	if n := f.gateway.Calls(gatewaytest.Charge); n != 1 {
		t.Errorf("the gateway was asked %d times", n)
	}
	if diff := cmp.Diff([]string{"ChargeCaptured COMPLETED"}, f.history(id)); diff != "" {
		t.Error(diff)
	}
}

func TestADeclinedCardFailsThePayment(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.work(f.app)
	f.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Decline: "insufficient_funds"})
	id := newOrder()
	for range 2 {
		if err := f.create(created(id)); err != nil {
			t.Fatal(err)
		}
	}
	f.expectState(id, payment.Failed)
	if p := f.get(id); p.DeclineCode != "insufficient_funds" || p.ChargeID != "" {
		t.Errorf("row %+v", p)
	}
	mustReceive(f, app.OnShipmentCancelled, cancelled(id)) // no money is held, so the gateway is not called
	f.expectState(id, payment.Failed)
	f.expectEmitted(id, "PaymentFailed@1")
	f.expectLedger(id, "decline charge-%s insufficient_funds")
	if n := f.gateway.Calls(gatewaytest.Void); n != 0 {
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
			f := newFixture(t)
			f.gateway.Fail(gatewaytest.Charge, fault)
			id := newOrder()
			if err := f.create(created(id)); err != nil {
				t.Fatal(err)
			}
			f.expectState(id, payment.Completed)
			f.expectEmitted(id, "PaymentCompleted@1")
			f.expectLedger(id, capture)
		})
	}
}

// TestAnUnknownOutcomeIsTransientAndWritesNothing: the partition waits, and a later try with the
// same key gets the outcome.
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
			f := newFixture(t)
			for operation, fault := range faults {
				f.gateway.Fail(operation, fault)
			}
			id := newOrder()
			e := created(id)
			if err := f.create(e); errs.KindOf(err) != errs.Transient {
				t.Fatalf("error %v is %s", err, errs.KindOf(err))
			}
			if _, _, err := f.app.GetPayment(context.Background(), f.pool, id); errs.KindOf(err) != errs.NotFound {
				t.Fatalf("there is a row already, or: %v", err)
			}
			f.gateway.Mend()
			if err := f.create(e); err != nil {
				t.Fatal(err)
			}
			f.expectState(id, payment.Completed)
			f.expectEmitted(id, "PaymentCompleted@1")
			f.expectLedger(id, capture)
		})
	}
}

// TestARefusalIsBelievedOnceTheKeyIsClosed: a 400, or another refusal that the gateway does not
// record, says nothing about an earlier request with the same key.
func TestARefusalIsBelievedOnceTheKeyIsClosed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity} {
		refusal := gatewaytest.Fault{Status: status}
		t.Run(http.StatusText(status)+" after a capture nobody wrote down", func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := newOrder()
			e := created(id)
			if _, err := f.charge(e); err != nil {
				t.Fatal(err)
			}
			f.gateway.Fail(gatewaytest.Charge, refusal)
			if err := f.create(e); err != nil {
				t.Fatal(err)
			}
			f.expectState(id, payment.Completed)
			f.expectEmitted(id, "PaymentCompleted@1")
			f.expectLedger(id, capture)
		})
		t.Run(http.StatusText(status)+" at once", func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.work(f.app)
			f.gateway.Fail(gatewaytest.Charge, refusal)
			id := newOrder()
			if err := f.create(created(id)); err != nil {
				t.Fatal(err)
			}
			f.expectState(id, payment.Failed)
			f.gateway.Mend()
			answer, err := gateway.New(f.gateway.URL, 0, patient()).Charge(context.Background(), "charge-"+id,
				gateway.ChargeRequest{OrderID: id, CustomerID: "cust-7", Amount: total, Currency: "GBP"})
			if err != nil || answer.Outcome != gateway.Voided {
				t.Errorf("a request that was still on its way gave %+v, %v", answer, err)
			}
			mustReceive(f, app.OnShipmentCancelled, cancelled(id))
			f.expectEmitted(id, "PaymentFailed@1")
			f.expectLedger(id, "void charge-%s")
		})
		t.Run(http.StatusText(status)+" and nobody knows", func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.gateway.Fail(gatewaytest.Charge, refusal)
			f.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Down: true})
			id := newOrder()
			if err := f.create(created(id)); errs.KindOf(err) != errs.Transient {
				t.Fatalf("error %v is %s", err, errs.KindOf(err))
			}
			f.expectLedger(id)
		})
	}
}

// TestTwoProcessesCloseAKey: one refusal and a cancellation in between do not count as a
// contradiction.
func TestTwoProcessesCloseAKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.gateway.Fail(gatewaytest.Charge, gatewaytest.Fault{Status: http.StatusBadRequest, Times: 1})
	id := newOrder()
	e := created(id)
	refused, err := f.charge(e)
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.charge(e)
	if err != nil || refused.Outcome != gateway.Declined || again.Outcome != gateway.Voided {
		t.Fatalf("got %+v, then %+v, %v", refused, again, err)
	}
	f.work(f.app)
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	f.await(id, payment.Voided)
	for _, answer := range []gateway.Answer{refused, again} {
		if err := f.record(e, answer); err != nil {
			t.Fatal(err)
		}
	}
	if p := f.get(id); p.State != string(payment.Voided) || p.Attention != "" {
		t.Errorf("row %+v", p)
	}
	f.expectEmitted(id, "PaymentVoided@1")
}

// TestWhatConcernsEveryRequestIsNoFaultOfTheRecord: otherwise a wrong credential or too many requests
// would decline or drop every order.
func TestWhatConcernsEveryRequestIsNoFaultOfTheRecord(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := newOrder()
			for _, operation := range []string{gatewaytest.Charge, gatewaytest.Void, gatewaytest.Lookup} {
				f.gateway.Fail(operation, gatewaytest.Fault{Status: status})
			}
			if err := f.create(created(id)); errs.KindOf(err) != errs.Transient {
				t.Fatalf("error %v is %s", err, errs.KindOf(err))
			}
			if n := f.gateway.Calls(gatewaytest.Void); n != 0 {
				t.Errorf("the key was voided %d times", n)
			}
			f.gateway.Mend()
			if err := f.create(created(id)); err != nil {
				t.Fatal(err)
			}
			f.expectEmitted(id, "PaymentCompleted@1")
		})
	}
}

// TestTheHandlerAsksAgainRatherThanGuess: before the transaction the row needed no call, and in the
// transaction the row is gone.
func TestTheHandlerAsksAgainRatherThanGuess(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if err := f.record(created(newOrder()), gateway.Answer{}); errs.KindOf(err) != errs.Transient {
		t.Fatalf("error %v is %s", err, errs.KindOf(err))
	}
}

func TestAKeyVoidedByHandWaitsForTheDeadline(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := newOrder()
	_, err := gateway.New(f.gateway.URL, 0, patient()).Void(context.Background(), "charge-"+id, gateway.VoidRequest{OrderID: id})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.create(created(id)); err != nil {
		t.Fatal(err)
	}
	f.expectState(id, payment.None)
	f.expectEmitted(id)

	f.work(f.app)
	late := cancelled(id)
	late.Data.Reason = "deadline"
	mustReceive(f, app.OnShipmentCancelled, late)
	f.await(id, payment.Voided)
	f.expectEmitted(id, "PaymentVoided@1")
	f.expectLedger(id, "void charge-%s")
	if p := f.get(id); p.Reason != "deadline" || p.Amount != total {
		t.Errorf("row %+v", p)
	}
}

// TestWhatRollsBackLeavesNothing: row, history and outbox commit together.
func TestWhatRollsBackLeavesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := newOrder()
	e := created(id)
	answer, err := f.charge(e)
	if err != nil {
		t.Fatal(err)
	}
	crash := errs.New(errs.Transient, "the process dies here")
	err = f.tx(func(tx pgx.Tx) error {
		if _, err := f.app.Payments.Run(context.Background(), tx, stepOf(f, answered(answer), e)); err != nil {
			return err
		}
		return crash
	})
	if err == nil {
		t.Fatal("committed")
	}
	if _, _, err := f.app.GetPayment(context.Background(), f.pool, id); errs.KindOf(err) != errs.NotFound {
		t.Fatalf("there is a row, or: %v", err)
	}
	f.expectEmitted(id)
	if err := f.create(e); err != nil {
		t.Fatal(err)
	}
	f.expectEmitted(id, "PaymentCompleted@1")
	f.expectLedger(id, capture)
}
