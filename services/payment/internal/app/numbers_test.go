package app_test

import (
	"fmt"
	"math"
	"testing"

	"eventshop.example/pkg/events"
	"eventshop.example/services/payment/internal/payment"
)

// TestEveryAmountIsAnswered: whatever an OrderCreated may carry is charged and given back to
// the last unit, or declined. None of it is a failure of the record.
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
			k := newKit(t)
			k.work(k.app)
			id := newOrder()
			e := created(id)
			e.Data.TotalAmount, e.Data.Currency = tt.amount, tt.currency
			if err := k.create(e); err != nil {
				t.Fatal(err)
			}
			tell(k, k.app.OnInventoryReservationFailed, event(events.InventoryReservationFailed{OrderID: id, Reason: "out_of_stock"}))
			if !tt.charged {
				k.expectState(id, payment.Failed)
				k.expectTold(id, "PaymentFailed@1")
				return
			}
			k.await(id, payment.Refunded)
			k.expectLedger(id, fmt.Sprintf("capture charge-%%s %d %s", tt.amount, tt.currency), fmt.Sprintf("refund refund-%%s %d out_of_stock", tt.amount))
			if p := k.get(id); p.Amount != tt.amount || p.Currency != tt.currency {
				t.Errorf("the payment is of %d %s", p.Amount, p.Currency)
			}
		})
	}
}
