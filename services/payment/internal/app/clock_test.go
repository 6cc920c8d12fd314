package app_test

import (
	"context"
	"testing"
	"time"

	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/payment"
)

// TestAClockThatWasAheadHoldsNoRefundUp: an attempt that was deferred while the clock was an hour
// ahead is made when the clock is right again, and not an hour later. The same holds for a round
// that began then.
func TestAClockThatWasAheadHoldsNoRefundUp(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]string{
		"the attempt was put off":                        `UPDATE payments SET next_attempt_at = $1`,
		"the round began":                                `UPDATE payments SET returning_since = $1`,
		"the payment was opened":                         `UPDATE payments SET created_at = $1, returning_since = NULL`,
		"a process that died held it, by the same clock": `UPDATE payments SET next_attempt_at = $1, returning_since = $1, attempts = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := f.paid()
			mustReceive(f, app.OnShipmentCancelled, cancelled(id))
			if _, err := f.pool.Exec(context.Background(), put, f.time().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			f.work(f.app)
			f.await(id, payment.Refunded)
		})
	}
}
