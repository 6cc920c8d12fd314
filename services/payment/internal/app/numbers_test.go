package app_test

import (
	"fmt"
	"math"
	"testing"

	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/app"
	"eventshop.example/services/payment/payment"
)

// TestEveryAmountIsAnswered: every amount that an OrderCreated can carry is charged and refunded to
// the last unit, or declined. None of them fails the record.
func TestEveryAmountIsAnswered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		amount   int64
		currency string
		charged  bool
	}{
		{math.MaxInt64, "GBP", true}, {math.MaxInt64, "JPY", true}, {1, "GBP", true}, {9999, "HRK", true},
		{0, "GBP", false}, {-1, "GBP", false}, {math.MinInt64, "GBP", false},
	} {
		t.Run(fmt.Sprintf("%d %s", tt.amount, tt.currency), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.work(f.app)
			id := newOrder()
			e := created(id)
			e.Data.TotalAmount, e.Data.Currency = tt.amount, tt.currency
			if err := f.create(e); err != nil {
				t.Fatal(err)
			}
			mustReceive(f, app.OnInventoryReservationFailed, delivered(events.InventoryReservationFailed{OrderID: id, Reason: "out_of_stock"}))
			if !tt.charged {
				f.expectState(id, payment.Failed)
				f.expectEmitted(id, "PaymentFailed@1")
				return
			}
			f.await(id, payment.Refunded)
			f.expectLedger(id, fmt.Sprintf("capture charge-%%s %d %s", tt.amount, tt.currency), fmt.Sprintf("refund refund-%%s %d out_of_stock", tt.amount))
			if p := f.get(id); p.Amount != tt.amount || p.Currency != tt.currency {
				t.Errorf("the payment is of %d %s", p.Amount, p.Currency)
			}
		})
	}
}
