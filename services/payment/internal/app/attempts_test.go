package app_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

func TestRefundsThatFailAreRetriedThenShown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: http.StatusServiceUnavailable})
	f.work(f.app)
	id := f.paid()
	mustReceive(f, app.OnShipmentFailed, delivered(events.ShipmentFailed{OrderID: id}))
	for n := int32(1); n < maxAttempts; n++ {
		f.awaitAttempts(id, n)
		p := f.get(id)
		wait := p.NextAttemptAt.Sub(f.time())
		least := backoffBase << (n - 1)
		if wait < least || wait > least+least/4+1 {
			t.Errorf("attempt %d waits %s for the next, want %s and up to a quarter more", n, wait, least)
		}
		if p.State != string(payment.Refunding) || p.Attention != "" || !strings.Contains(p.LastError, "503") {
			t.Errorf("row %+v", p)
		}
		f.advance(wait)
	}
	f.await(id, payment.RefundFailed)
	p := f.get(id)
	if p.Attempts != maxAttempts || p.NextAttemptAt != nil || p.Attention == "" {
		t.Errorf("row %+v", p)
	}
	f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefundFailed@2")
	f.advance(time.Hour)

	f.gateway.Mend()
	if err := f.retry(id); err != nil {
		t.Fatal(err)
	}
	f.await(id, payment.Refunded)
	f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefundFailed@2", "PaymentRefunded@3")
	f.expectLedger(id, capture, "refund refund-%s 9999 shipment_failed")
	if p := f.get(id); p.Attention != "" || p.LastError != "" {
		t.Errorf("still asks for attention: %+v", p)
	}
	if n := f.gateway.Calls(gatewaytest.Refund); n != maxAttempts+1 {
		t.Errorf("%d requests for %d attempts and one more", n, maxAttempts)
	}
}

// TestARefundWhoseAnswerIsAlwaysLostIsFoundByKey: the first attempt made the refund.
func TestARefundWhoseAnswerIsAlwaysLostIsFoundByKey(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]gatewaytest.Fault{"cut": {AnswerLost: true}, "slow": {HangAfter: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.gateway.Fail(gatewaytest.Refund, fault)
			f.work(f.app)
			id := f.paid()
			mustReceive(f, app.OnShipmentCancelled, cancelled(id))
			f.await(id, payment.Refunded)
			f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefunded@2")
			f.expectLedger(id, capture, "refund refund-%s 9999 customer")
		})
	}
}

// TestACaptureFoundByTheVoidIsKeptWhenTheRefundFails: the first half of the attempt succeeded, and
// that half is recorded.
func TestACaptureFoundByTheVoidIsKeptWhenTheRefundFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Down: true, Times: 1})
	id := newOrder()
	if _, err := f.charge(created(id)); err != nil {
		t.Fatal(err)
	}
	f.work(f.app)
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	f.awaitAttempts(id, 1)
	f.expectState(id, payment.Refunding)
	f.expectEmitted(id, "PaymentCompleted@1")
	f.advance(backoffMax)
	f.await(id, payment.Refunded)
	f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefunded@2")
	if n := f.gateway.Calls(gatewaytest.Void); n != 1 {
		t.Errorf("voided %d times", n)
	}
}

// TestStoppingAChargeIsNeverGivenUp: the order waits for the answer, so attention is raised once
// per round of attempts until there is one.
func TestStoppingAChargeIsNeverGivenUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Down: true})
	f.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Down: true})
	f.work(f.app)
	id := newOrder()
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	for n := int32(1); n <= maxAttempts+2; n++ {
		f.awaitAttempts(id, n)
		if p := f.get(id); p.State != string(payment.Voiding) || (p.Attention != "") != (n >= maxAttempts) {
			t.Fatalf("after %d attempts: %+v", n, p)
		}
		if n < maxAttempts+2 { // otherwise one more attempt would be in progress from here on
			f.advance(backoffMax)
		}
	}
	f.expectEmitted(id, "PaymentRefundFailed@1")
	if err := f.retry(id); err != nil {
		t.Fatal(err)
	}
	for n := int32(1); n <= maxAttempts; n++ {
		f.awaitAttempts(id, n)
		if n < maxAttempts {
			f.advance(backoffMax)
		}
	}
	f.expectEmitted(id, "PaymentRefundFailed@1", "PaymentRefundFailed@2")
	f.gateway.Mend()
	f.advance(backoffMax)
	f.await(id, payment.Voided)
	f.expectEmitted(id, "PaymentRefundFailed@1", "PaymentRefundFailed@2", "PaymentVoided@3")
	if p := f.get(id); p.Attention != "" {
		t.Errorf("still asks for attention: %+v", p)
	}
	want := []string{"ShipmentCancelled VOIDING", "AttemptsSpent VOIDING", "RetryRefund VOIDING", "AttemptsSpent VOIDING", "VoidConfirmed VOIDED"}
	if diff := cmp.Diff(want, f.history(id)); diff != "" {
		t.Error(diff)
	}
}

// TestAVoidThatWaitedEndsHoweverItIsAnswered: no answer for a long time, then an answer of each
// kind.
func TestAVoidThatWaitedEndsHoweverItIsAnswered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		charge  bool
		fault   gatewaytest.Fault
		state   payment.State
		emitted []string
	}{
		"voided":   {state: payment.Voided, emitted: []string{"PaymentRefundFailed@1", "PaymentVoided@2"}},
		"declined": {charge: true, fault: gatewaytest.Fault{Decline: "stolen_card"}, state: payment.Failed, emitted: []string{"PaymentRefundFailed@1", "PaymentFailed@2"}},
		"captured": {charge: true, state: payment.Refunded, emitted: []string{"PaymentRefundFailed@1", "PaymentCompleted@2", "PaymentRefunded@3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := newOrder()
			f.gateway.Fail(gatewaytest.Charge, c.fault)
			if c.charge { // and the process dies
				if _, err := f.charge(created(id)); err != nil {
					t.Fatal(err)
				}
			}
			f.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Hang: true})
			f.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Down: true})
			f.work(f.app)
			mustReceive(f, app.OnShipmentCancelled, cancelled(id))
			for n := int32(1); n <= maxAttempts; n++ {
				f.awaitAttempts(id, n)
				f.advance(backoffMax)
			}
			kafkatest.Eventually(t, "it to be emitted", func() bool { return len(f.emitted(id)) > 0 })
			f.gateway.Mend()
			kafkatest.Eventually(t, "an answer", func() bool {
				f.advance(backoffMax)
				return f.get(id).State == string(c.state)
			})
			f.expectEmitted(id, c.emitted...)
			if p := f.get(id); p.Attention != "" || p.LastError != "" {
				t.Errorf("still asks for attention: %+v", p)
			}
			if net := f.gateway.Net("charge-" + id); net != 0 {
				t.Errorf("holds %d", net)
			}
		})
	}
}

// TestARefundHasAttemptsOfItsOwn: attempts that the void used up do not count for the refund.
func TestARefundHasAttemptsOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := newOrder()
	if _, err := f.charge(created(id)); err != nil {
		t.Fatal(err)
	}
	f.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Down: true, Times: maxAttempts - 1})
	f.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Down: true})
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: http.StatusServiceUnavailable})
	f.work(f.app)
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	for n := int32(1); n < maxAttempts; n++ {
		f.awaitAttempts(id, n)
		f.expectState(id, payment.Voiding)
		f.advance(backoffMax)
	}
	for n := int32(1); n < maxAttempts; n++ { // the first refund is part of the attempt that found the capture
		f.await(id, payment.Refunding)
		f.awaitAttempts(id, n)
		p := f.get(id)
		wait, least := p.NextAttemptAt.Sub(f.time()), backoffBase<<(n-1)
		if p.State != string(payment.Refunding) || p.Attention != "" || wait < least || wait > least+least/4+1 {
			t.Errorf("after %d refunds, waiting %s: %+v", n, wait, p)
		}
		f.advance(backoffMax)
	}
	f.await(id, payment.RefundFailed)
	if p := f.get(id); p.Attempts != maxAttempts || !strings.Contains(p.Attention, "503") {
		t.Errorf("row %+v", p)
	}
	f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefundFailed@2")
	if n := f.gateway.Calls(gatewaytest.Refund); n != maxAttempts {
		t.Errorf("%d refunds were tried", n)
	}
}
