package app_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/events"
	"eventshop.example/services/projection/internal/app"
)

// TestRevenueByUTCDayAndCurrency: the day is that of the event's time in UTC, whatever its time
// zone. A refund counts on the day of the refund, not on the day of the capture.
func TestRevenueByUTCDayAndCurrency(t *testing.T) {
	f := newFixture(t)
	midnight := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	tokyo := time.FixedZone("JST", 9*60*60)
	var version int64
	capture := func(at time.Time, amount int64, currency string) delivery {
		version++
		return deliveryOf(app.OnPaymentCompleted, version, events.PaymentCompleted{OrderID: "o-1", Amount: amount, Currency: currency, OccurredAt: at})
	}
	refund := func(at time.Time, amount int64, currency string) delivery {
		version++
		return deliveryOf(app.OnPaymentRefunded, version, events.PaymentRefunded{OrderID: "o-1", Amount: amount, Currency: currency, OccurredAt: at})
	}
	f.receive(
		capture(midnight.Add(-time.Microsecond), 100, "GBP"), // the last instant of the 24th
		capture(midnight, 200, "GBP"),                        // the first of the 25th
		capture(midnight.Add(-time.Hour).In(tokyo), 30, "GBP"),
		capture(midnight, 5000, "JPY"),
		capture(midnight.Add(24*time.Hour-time.Microsecond), 1, "GBP"),
		refund(midnight, 130, "GBP"), // of what the 24th took
		refund(midnight.Add(48*time.Hour), 5000, "JPY"),
	)
	got := lines(t, f.pool, `SELECT concat_ws(' ', day, currency, captured, payments, refunded, refunds) FROM revenue_days ORDER BY 1`)
	want := []string{
		"2026-11-24 GBP 130 2 0 0",
		"2026-11-25 GBP 201 2 130 1",
		"2026-11-25 JPY 5000 1 0 0",
		"2026-11-27 JPY 0 0 5000 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("revenue (-want +got):\n%s", diff)
	}

	rows, err := f.app.Revenue(t.Context(), midnight, midnight.AddDate(0, 0, 2))
	if err != nil {
		t.Fatal(err)
	}
	var span []string
	for _, r := range rows {
		span = append(span, r.Day.Format(time.DateOnly)+" "+r.Currency)
	}
	if diff := cmp.Diff([]string{"2026-11-25 GBP", "2026-11-25 JPY", "2026-11-27 JPY"}, span); diff != "" {
		t.Errorf("days from and to are both included (-want +got):\n%s", diff)
	}
}

// TestFailedPaymentsAreNoRevenue: no money was taken, so nothing counts.
func TestFailedPaymentsAreNoRevenue(t *testing.T) {
	f := newFixture(t)
	sagas := f.sagas()
	f.receive(slices.Concat(sagas["declined"].deliveries, sagas["cancelled before the charge"].deliveries)...)
	if got := lines(t, f.pool, `SELECT day::text FROM revenue_days`); len(got) != 0 {
		t.Errorf("revenue on %v", got)
	}
}
