package app_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/internal/payment"
)

// touchy is a circuit breaker that opens at the first fault. It lives in real time, the
// payments in the kit's.
func touchy(openFor time.Duration) *breaker.Breaker {
	return breaker.New(breaker.Config{Name: "gateway", Failures: 1, OpenFor: openFor, Logger: slog.New(slog.DiscardHandler)})
}

// trip opens the breaker as somebody else's call does.
func trip(t *testing.T, b *breaker.Breaker) {
	t.Helper()
	_ = b.Do(context.Background(), func(context.Context) error { return errs.New(errs.Transient, "somebody else's call failed") })
	if s := b.State(); s.State != breaker.Open {
		t.Fatalf("breaker is %+v", s)
	}
}

// TestAChargeThatIsRefusedSaysWhenToComeBack and writes nothing.
func TestAChargeThatIsRefusedSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	b := touchy(time.Hour)
	k := newKitBehind(t, b)
	trip(t, b)
	id := newOrder()
	err := k.create(created(id))
	if wait, ok := errs.RetryAfter(err); errs.KindOf(err) != errs.Transient || !ok || wait < 50*time.Minute {
		t.Errorf("refused with %v (%s), wait %s", err, errs.KindOf(err), wait)
	}
	if _, _, err := k.app.GetPayment(context.Background(), k.pool, id); errs.KindOf(err) != errs.NotFound {
		t.Errorf("there is a row already, or: %v", err)
	}
	if n := k.gateway.Calls(gatewaytest.Charge); n != 0 {
		t.Errorf("the gateway was asked %d times", n)
	}
}

// TestAnOpenBreakerCostsNoAttempts until the deadline; after it nobody waits for ever.
func TestAnOpenBreakerCostsNoAttempts(t *testing.T) {
	t.Parallel()
	k := newKitBehind(t, touchy(24*time.Hour))
	id, overdue, unknown := k.paid(), k.paid(), newOrder()
	k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: http.StatusServiceUnavailable})
	k.work(k.app)
	tell(k, k.app.OnShipmentFailed, event(events.ShipmentFailed{OrderID: id}))
	k.awaitAttempts(id, 1) // the one that opened it
	tell(k, k.app.OnShipmentCancelled, cancelled(unknown))

	k.advance(deadline - time.Second)
	// One that has waited for long already shows that the worker has looked.
	tell(k, k.app.OnShipmentCancelled, cancelled(overdue))
	if _, err := k.pool.Exec(context.Background(), `UPDATE payments SET returning_since = $1 WHERE order_id = $2`,
		k.time().Add(-deadline), overdue); err != nil {
		t.Fatal(err)
	}
	k.awaitAttempts(overdue, 1)
	if p := k.get(id); p.State != string(payment.Refunding) || p.Attempts != 1 || !strings.Contains(p.LastError, "503") {
		t.Errorf("after an hour of refusals: %+v", p)
	}
	if p := k.get(unknown); p.State != string(payment.Voiding) || p.Attempts != 0 || p.Attention != "" || p.LastError != "" {
		t.Errorf("after an hour of refusals, in which it was not even claimed: %+v", p)
	}

	for n := int32(2); n <= maxAttempts; n++ {
		k.advance(25 * time.Hour) // longer than the breaker asks for
		for _, due := range []string{id, overdue} {
			if n < maxAttempts { // each has to be put off before the clock goes on
				k.awaitAttempts(due, n)
			}
		}
	}
	k.await(id, payment.RefundFailed)
	k.await(overdue, payment.RefundFailed)
	kafkatest.Eventually(t, "the void's silence to be told", func() bool {
		k.advance(25 * time.Hour)
		return len(k.told(unknown)) > 0
	})
	k.expectTold(id, "PaymentCompleted@1", "PaymentRefundFailed@2")
	k.expectTold(overdue, "PaymentCompleted@1", "PaymentRefundFailed@2")
	k.expectTold(unknown, "PaymentRefundFailed@1")
	if p := k.get(id); p.Attempts != maxAttempts || !strings.Contains(p.Attention, "circuit breaker") {
		t.Errorf("row %+v", p)
	}
	if refunds, voids := k.gateway.Calls(gatewaytest.Refund), k.gateway.Calls(gatewaytest.Void); refunds != 1 || voids != 0 {
		t.Errorf("the gateway was asked for %d refunds and %d voids", refunds, voids)
	}

	// An operator's round has a deadline of its own.
	if err := k.retry(id); err != nil {
		t.Fatal(err)
	}
	if p := k.get(id); p.Attempts != 0 || p.ReturningSince == nil || !p.ReturningSince.Equal(k.time()) {
		t.Errorf("row %+v", p)
	}
}

// TestOneReturnProbesForAll: the others are put off and have lost nothing.
func TestOneReturnProbesForAll(t *testing.T) {
	t.Parallel()
	b := touchy(time.Millisecond)
	k := newKitBehind(t, b)
	arrived, release := make(chan struct{}), make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let) // before the gateway is closed, which waits for its requests
	ids := []string{k.paid(), k.paid(), k.paid()}
	k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Times: 1, Arrived: arrived, Release: release})
	trip(t, b)
	for _, id := range ids {
		tell(k, k.app.OnShipmentCancelled, cancelled(id))
	}
	k.work(k.app)
	<-arrived
	kafkatest.Eventually(t, "the others to be put off", func() bool {
		put := 0
		for _, id := range ids {
			if p := k.get(id); p.Attempts == 0 && strings.Contains(p.LastError, "half-open") && p.NextAttemptAt.Before(k.time().Add(lease)) {
				put++
			}
		}
		return put == 2
	})
	if n := k.gateway.Calls(gatewaytest.Refund); n != 1 {
		t.Errorf("%d refunds were asked for", n)
	}
	let()
	kafkatest.Eventually(t, "the probe to close it", func() bool { return b.State().State == breaker.Closed })
	k.advance(2 * time.Second)
	for _, id := range ids {
		k.await(id, payment.Refunded)
		if p := k.get(id); p.Attempts != 1 {
			t.Errorf("%d attempts", p.Attempts)
		}
	}
}

// TestProbesThatFailAreAttempts: what the gateway heard of counts, so one that stays away
// ends with a person being asked.
func TestProbesThatFailAreAttempts(t *testing.T) {
	t.Parallel()
	k := newKitBehind(t, touchy(time.Millisecond))
	id := k.paid()
	k.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Down: true})
	k.work(k.app)
	tell(k, k.app.OnShipmentFailed, event(events.ShipmentFailed{OrderID: id}))
	for n := int32(1); n < maxAttempts; n++ {
		k.awaitAttempts(id, n)
		k.advance(backoffMax)
	}
	k.await(id, payment.RefundFailed)
	if n := k.gateway.Calls(gatewaytest.Refund); n != maxAttempts {
		t.Errorf("%d refunds were asked for", n)
	}
	k.expectTold(id, "PaymentCompleted@1", "PaymentRefundFailed@2")
}

// TestARefundRefusedBehindItsVoidIsNotCounted: the void was answered, then the breaker
// opened.
func TestARefundRefusedBehindItsVoidIsNotCounted(t *testing.T) {
	t.Parallel()
	b := touchy(time.Hour)
	k := newKitBehind(t, b)
	id := newOrder()
	if _, err := k.app.ChargeOnOrderCreated(context.Background(), created(id)); err != nil {
		t.Fatal(err)
	}
	arrived, release := make(chan struct{}), make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let) // before the gateway is closed, which waits for its requests
	k.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Times: 1, Arrived: arrived, Release: release})
	k.work(k.app)
	tell(k, k.app.OnShipmentCancelled, cancelled(id))
	<-arrived
	trip(t, b)
	let()
	k.await(id, payment.Refunding)
	p := k.get(id)
	if p.Attempts != 0 || p.Attention != "" || !p.NextAttemptAt.After(k.time().Add(50*time.Minute)) || !strings.Contains(p.LastError, "circuit breaker") {
		t.Errorf("row %+v", p)
	}
	k.expectTold(id, "PaymentCompleted@1")
}
