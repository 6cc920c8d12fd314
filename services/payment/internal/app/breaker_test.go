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
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/internal/gatewaytest"
	"eventshop.example/services/payment/payment"
)

// touchy returns a circuit breaker that opens at the first failure. It uses real time; the payments
// use the fixture's time.
func touchy(openFor time.Duration) *breaker.Breaker {
	return breaker.New(breaker.Config{Name: "gateway", Failures: 1, OpenFor: openFor, Logger: slog.New(slog.DiscardHandler)})
}

// trip opens the breaker by a failed call of another caller.
func trip(t *testing.T, b *breaker.Breaker) {
	t.Helper()
	_ = b.Do(context.Background(), func(context.Context) error { return errs.New(errs.Transient, "somebody else's call failed") })
	if s := b.State(); s.State != breaker.Open {
		t.Fatalf("breaker is %+v", s)
	}
}

// TestAChargeThatIsRefusedHasATimeToComeBack and writes nothing.
func TestAChargeThatIsRefusedHasATimeToComeBack(t *testing.T) {
	t.Parallel()
	b := touchy(time.Hour)
	f := newFixtureBehind(t, b)
	trip(t, b)
	id := newOrder()
	err := f.create(created(id))
	if wait, ok := errs.RetryAfter(err); errs.KindOf(err) != errs.Transient || !ok || wait < 50*time.Minute {
		t.Errorf("refused with %v (%s), wait %s", err, errs.KindOf(err), wait)
	}
	if _, _, err := f.app.GetPayment(context.Background(), f.pool, id); errs.KindOf(err) != errs.NotFound {
		t.Errorf("there is a row already, or: %v", err)
	}
	if n := f.gateway.Calls(gatewaytest.Charge); n != 0 {
		t.Errorf("the gateway was asked %d times", n)
	}
}

// TestAnOpenBreakerCostsNoAttempts until the deadline. After it, refused attempts count.
func TestAnOpenBreakerCostsNoAttempts(t *testing.T) {
	t.Parallel()
	f := newFixtureBehind(t, touchy(24*time.Hour))
	id, overdue, unknown := f.paid(), f.paid(), newOrder()
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Status: http.StatusServiceUnavailable})
	f.work(f.app)
	mustReceive(f, app.OnShipmentFailed, delivered(events.ShipmentFailed{OrderID: id}))
	f.awaitAttempts(id, 1) // the attempt that opened the breaker
	mustReceive(f, app.OnShipmentCancelled, cancelled(unknown))

	f.advance(deadline - time.Second)
	// A refund that has waited for a long time shows that the worker has looked.
	mustReceive(f, app.OnShipmentCancelled, cancelled(overdue))
	if _, err := f.pool.Exec(context.Background(), `UPDATE payments SET returning_since = $1 WHERE order_id = $2`,
		f.time().Add(-deadline), overdue); err != nil {
		t.Fatal(err)
	}
	f.awaitAttempts(overdue, 1)
	if p := f.get(id); p.State != string(payment.Refunding) || p.Attempts != 1 || !strings.Contains(p.LastError, "503") {
		t.Errorf("after an hour of refusals: %+v", p)
	}
	if p := f.get(unknown); p.State != string(payment.Voiding) || p.Attempts != 0 || p.Attention != "" || p.LastError != "" {
		t.Errorf("after an hour of refusals, in which it was not even claimed: %+v", p)
	}

	for n := int32(2); n <= maxAttempts; n++ {
		f.advance(25 * time.Hour) // longer than the breaker's wait
		for _, due := range []string{id, overdue} {
			if n < maxAttempts { // each refund has to be deferred before the clock moves
				f.awaitAttempts(due, n)
			}
		}
	}
	f.await(id, payment.RefundFailed)
	f.await(overdue, payment.RefundFailed)
	kafkatest.Eventually(t, "the void's silence to be emitted", func() bool {
		f.advance(25 * time.Hour)
		return len(f.emitted(unknown)) > 0
	})
	f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefundFailed@2")
	f.expectEmitted(overdue, "PaymentCompleted@1", "PaymentRefundFailed@2")
	f.expectEmitted(unknown, "PaymentRefundFailed@1")
	if p := f.get(id); p.Attempts != maxAttempts || !strings.Contains(p.Attention, "circuit breaker") {
		t.Errorf("row %+v", p)
	}
	if refunds, voids := f.gateway.Calls(gatewaytest.Refund), f.gateway.Calls(gatewaytest.Void); refunds != 1 || voids != 0 {
		t.Errorf("the gateway was asked for %d refunds and %d voids", refunds, voids)
	}

	// A round that an operator starts has its own deadline.
	if err := f.retry(id); err != nil {
		t.Fatal(err)
	}
	if p := f.get(id); p.Attempts != 0 || p.ReturningSince == nil || !p.ReturningSince.Equal(f.time()) {
		t.Errorf("row %+v", p)
	}
}

// TestOneReturnProbesForAll: the others are deferred and lose no attempt.
func TestOneReturnProbesForAll(t *testing.T) {
	t.Parallel()
	b := touchy(time.Millisecond)
	f := newFixtureBehind(t, b)
	arrived, release := make(chan struct{}), make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let) // before the gateway closes, which waits for its requests
	ids := []string{f.paid(), f.paid(), f.paid()}
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Times: 1, Arrived: arrived, Release: release})
	trip(t, b)
	for _, id := range ids {
		mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	}
	f.work(f.app)
	<-arrived
	kafkatest.Eventually(t, "the others to be put off", func() bool {
		put := 0
		for _, id := range ids {
			if p := f.get(id); p.Attempts == 0 && strings.Contains(p.LastError, "half-open") && p.NextAttemptAt.Before(f.time().Add(lease)) {
				put++
			}
		}
		return put == 2
	})
	if n := f.gateway.Calls(gatewaytest.Refund); n != 1 {
		t.Errorf("%d refunds were asked for", n)
	}
	let()
	kafkatest.Eventually(t, "the probe to close it", func() bool { return b.State().State == breaker.Closed })
	f.advance(2 * time.Second)
	for _, id := range ids {
		f.await(id, payment.Refunded)
		if p := f.get(id); p.Attempts != 1 {
			t.Errorf("%d attempts", p.Attempts)
		}
	}
}

// TestProbesThatFailAreAttempts: a probe reached the gateway, so it counts. A gateway that stays
// unavailable ends with attention.
func TestProbesThatFailAreAttempts(t *testing.T) {
	t.Parallel()
	f := newFixtureBehind(t, touchy(time.Millisecond))
	id := f.paid()
	f.gateway.Fail(gatewaytest.Refund, gatewaytest.Fault{Down: true})
	f.work(f.app)
	mustReceive(f, app.OnShipmentFailed, delivered(events.ShipmentFailed{OrderID: id}))
	for n := int32(1); n < maxAttempts; n++ {
		f.awaitAttempts(id, n)
		f.advance(backoffMax)
	}
	f.await(id, payment.RefundFailed)
	if n := f.gateway.Calls(gatewaytest.Refund); n != maxAttempts {
		t.Errorf("%d refunds were asked for", n)
	}
	f.expectEmitted(id, "PaymentCompleted@1", "PaymentRefundFailed@2")
}

// TestARefundRefusedBehindItsVoidIsNotCounted: the void was answered, then the breaker opened.
func TestARefundRefusedBehindItsVoidIsNotCounted(t *testing.T) {
	t.Parallel()
	b := touchy(time.Hour)
	f := newFixtureBehind(t, b)
	id := newOrder()
	if _, err := f.charge(created(id)); err != nil {
		t.Fatal(err)
	}
	arrived, release := make(chan struct{}), make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let) // before the gateway closes, which waits for its requests
	f.gateway.Fail(gatewaytest.Void, gatewaytest.Fault{Times: 1, Arrived: arrived, Release: release})
	f.work(f.app)
	mustReceive(f, app.OnShipmentCancelled, cancelled(id))
	<-arrived
	trip(t, b)
	let()
	f.await(id, payment.Refunding)
	p := f.get(id)
	if p.Attempts != 0 || p.Attention != "" || !p.NextAttemptAt.After(f.time().Add(50*time.Minute)) || !strings.Contains(p.LastError, "circuit breaker") {
		t.Errorf("row %+v", p)
	}
	f.expectEmitted(id, "PaymentCompleted@1")
}
