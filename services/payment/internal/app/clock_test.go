package app_test

import (
	"context"
	"testing"
	"time"

	"eventshop.example/services/payment/internal/payment"
)

// TestAClockThatWasAheadHoldsNoRefundUp: an attempt that was put off while the clock was an hour
// ahead, of a round that began then, is made when the clock is right, and not an hour later.
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
			k := newKit(t)
			id := k.paid()
			tell(k, k.app.OnShipmentCancelled, cancelled(id))
			if _, err := k.pool.Exec(context.Background(), put, k.time().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			k.work(k.app)
			k.await(id, payment.Refunded)
		})
	}
}
