package app_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/internal/payment"
)

func TestRefundsThatFailAreRetriedThenShown(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: http.StatusServiceUnavailable})
	k.work(k.app)
	id := k.paid()
	tell(k, k.app.OnShipmentFailed, event(events.ShipmentFailed{OrderID: id}))
	for n := int32(1); n < maxAttempts; n++ {
		k.awaitAttempts(id, n)
		p := k.get(id)
		wait := p.NextAttemptAt.Sub(k.time())
		least := backoffBase << (n - 1)
		if wait < least || wait > least+least/4+1 {
			t.Errorf("attempt %d waits %s for the next, want %s and up to a quarter more", n, wait, least)
		}
		if p.State != string(payment.Refunding) || p.Attention != "" || !strings.Contains(p.LastError, "503") {
			t.Errorf("row %+v", p)
		}
		k.advance(wait)
	}
	k.await(id, payment.RefundFailed)
	p := k.get(id)
	if p.Attempts != maxAttempts || p.NextAttemptAt != nil || p.Attention == "" {
		t.Errorf("row %+v", p)
	}
	k.expectTold(id, "PaymentCompleted@1", "PaymentRefundFailed@2")
	k.advance(time.Hour)

	k.gateway.Mend()
	if err := k.retry(id); err != nil {
		t.Fatal(err)
	}
	k.await(id, payment.Refunded)
	k.expectTold(id, "PaymentCompleted@1", "PaymentRefundFailed@2", "PaymentRefunded@3")
	k.expectLedger(id, capture, "refund refund-%s 9999 shipment_failed")
	if p := k.get(id); p.Attention != "" || p.LastError != "" {
		t.Errorf("still asks for attention: %+v", p)
	}
	if n := k.gateway.Calls(gatewaytest.Refund); n != maxAttempts+1 {
		t.Errorf("%d requests for %d attempts and one more", n, maxAttempts)
	}
}

// TestARefundWhoseAnswerIsAlwaysLostIsFoundByKey: it was made the first time.
func TestARefundWhoseAnswerIsAlwaysLostIsFoundByKey(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]gatewaytest.Fault{"cut": {AnswerLost: true}, "slow": {HangAfter: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			k.gateway.Fail(gatewaytest.Refund, fault)
			k.work(k.app)
			id := k.paid()
			tell(k, k.app.OnShipmentCancelled, cancelled(id))
			k.await(id, payment.Refunded)
			k.expectTold(id, "PaymentCompleted@1", "PaymentRefunded@2")
			k.expectLedger(id, capture, "refund refund-%s 9999 customer")
		})
	}
}

// TestACaptureFoundByTheVoidIsKeptWhenTheRefundFails: the attempt brought half of what
// it was for, and the half is recorded.
func TestACaptureFoundByTheVoidIsKeptWhenTheRefundFails(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Down: true, Times: 1})
	id := newOrder()
	if _, err := k.app.ChargeOnOrderCreated(context.Background(), created(id)); err != nil {
		t.Fatal(err)
	}
	k.work(k.app)
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	k.awaitAttempts(id, 1)
	k.expectState(id, payment.Refunding)
	k.expectTold(id, "PaymentCompleted@1")
	k.advance(backoffMax)
	k.await(id, payment.Refunded)
	k.expectTold(id, "PaymentCompleted@1", "PaymentRefunded@2")
	if n := k.gateway.Calls(gatewaytest.Void); n != 1 {
		t.Errorf("voided %d times", n)
	}
}

// TestStoppingAChargeIsNeverGivenUp: the order waits for the answer, so a person is told,
// once a round of attempts, until there is one.
func TestStoppingAChargeIsNeverGivenUp(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Down: true})
	k.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Down: true})
	k.work(k.app)
	id := newOrder()
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	for n := int32(1); n <= maxAttempts+2; n++ {
		k.awaitAttempts(id, n)
		if p := k.get(id); p.State != string(payment.Voiding) || (p.Attention != "") != (n >= maxAttempts) {
			t.Fatalf("after %d attempts: %+v", n, p)
		}
		if n < maxAttempts+2 { // else one more attempt would be under way from here on
			k.advance(backoffMax)
		}
	}
	k.expectTold(id, "PaymentRefundFailed@1")
	if err := k.retry(id); err != nil {
		t.Fatal(err)
	}
	for n := int32(1); n <= maxAttempts; n++ {
		k.awaitAttempts(id, n)
		if n < maxAttempts {
			k.advance(backoffMax)
		}
	}
	k.expectTold(id, "PaymentRefundFailed@1", "PaymentRefundFailed@2")
	k.gateway.Mend()
	k.advance(backoffMax)
	k.await(id, payment.Voided)
	k.expectTold(id, "PaymentRefundFailed@1", "PaymentRefundFailed@2", "PaymentVoided@3")
	if p := k.get(id); p.Attention != "" {
		t.Errorf("still asks for attention: %+v", p)
	}
	want := []string{"ShipmentCancelled VOIDING", "AttemptsSpent VOIDING", "RetryRefund VOIDING", "AttemptsSpent VOIDING", "VoidConfirmed VOIDED"}
	if diff := cmp.Diff(want, k.history(id)); diff != "" {
		t.Error(diff)
	}
}

// TestAVoidThatWaitedEndsHoweverItIsAnswered: no answer for long, then the truth.
func TestAVoidThatWaitedEndsHoweverItIsAnswered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		charge bool
		fault  gatewaytest.Fault
		state  payment.State
		told   []string
	}{
		"voided":   {state: payment.Voided, told: []string{"PaymentRefundFailed@1", "PaymentVoided@2"}},
		"declined": {charge: true, fault: gatewaytest.Fault{Decline: "stolen_card"}, state: payment.Failed, told: []string{"PaymentRefundFailed@1", "PaymentFailed@2"}},
		"captured": {charge: true, state: payment.Refunded, told: []string{"PaymentRefundFailed@1", "PaymentCompleted@2", "PaymentRefunded@3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			id := newOrder()
			k.gateway.Fail(gatewaytest.Charge, c.fault)
			if c.charge { // and the process dies
				if _, err := k.app.ChargeOnOrderCreated(context.Background(), created(id)); err != nil {
					t.Fatal(err)
				}
			}
			k.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Hang: true})
			k.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Down: true})
			k.work(k.app)
			tell(k, k.app.OnShipmentCancelled, cancelled(id))
			for n := int32(1); n <= maxAttempts; n++ {
				k.awaitAttempts(id, n)
				k.advance(backoffMax)
			}
			kafkatest.Eventually(t, "it to be told", func() bool { return len(k.told(id)) > 0 })
			k.gateway.Mend()
			kafkatest.Eventually(t, "an answer", func() bool {
				k.advance(backoffMax)
				return k.get(id).State == string(c.state)
			})
			k.expectTold(id, c.told...)
			if p := k.get(id); p.Attention != "" || p.LastError != "" {
				t.Errorf("still asks for attention: %+v", p)
			}
			if net := k.gateway.Net("charge-" + id); net != 0 {
				t.Errorf("holds %d", net)
			}
		})
	}
}

// TestARefundHasAttemptsOfItsOwn: those that the void used up before it was answered are
// not taken from it.
func TestARefundHasAttemptsOfItsOwn(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := newOrder()
	if _, err := k.app.ChargeOnOrderCreated(context.Background(), created(id)); err != nil {
		t.Fatal(err)
	}
	k.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Down: true, Times: maxAttempts - 1})
	k.gateway.Fail(gatewaytest.Lookup, gatewaytest.Fault{Down: true})
	k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: http.StatusServiceUnavailable})
	k.work(k.app)
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	for n := int32(1); n < maxAttempts; n++ {
		k.awaitAttempts(id, n)
		k.expectState(id, payment.Voiding)
		k.advance(backoffMax)
	}
	for n := int32(1); n < maxAttempts; n++ { // the first is part of the attempt that was told of the capture
		k.await(id, payment.Refunding)
		k.awaitAttempts(id, n)
		p := k.get(id)
		wait, least := p.NextAttemptAt.Sub(k.time()), backoffBase<<(n-1)
		if p.State != string(payment.Refunding) || p.Attention != "" || wait < least || wait > least+least/4+1 {
			t.Errorf("after %d refunds, waiting %s: %+v", n, wait, p)
		}
		k.advance(backoffMax)
	}
	k.await(id, payment.RefundFailed)
	if p := k.get(id); p.Attempts != maxAttempts || !strings.Contains(p.Attention, "503") {
		t.Errorf("row %+v", p)
	}
	k.expectTold(id, "PaymentCompleted@1", "PaymentRefundFailed@2")
	if n := k.gateway.Calls(gatewaytest.Refund); n != maxAttempts {
		t.Errorf("%d refunds were tried", n)
	}
}
