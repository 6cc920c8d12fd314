package app_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"eventshop.example/pkg/events"
	"eventshop.example/services/projection/internal/app"
)

// The tests of this file call the reactions without an inbox, which is the same as an inbox that
// has forgotten everything.

// TestReplayHasNoEffect: all sagas are received again, from the beginning or from any position, in
// any order that topics allow and in others. Nothing fails, and no row changes.
func TestReplayHasNoEffect(t *testing.T) {
	f := newFixture(t)
	all := f.everything()
	var want string
	rapid.Check(t, func(t *rapid.T) {
		if want == "" {
			want = f.replay(t, all)
		}
		again := all
		switch rapid.SampledFrom([]string{"in order", "interleaved", "shuffled", "twice"}).Draw(t, "again") {
		case "interleaved":
			again = interleaved(t, all)
		case "shuffled":
			again = rapid.Permutation(all).Draw(t, "arrival")
		case "twice":
			again = slices.Concat(all, all)
		}
		// The inbox may forget events while more are still to come.
		at := rapid.IntRange(0, len(all)).Draw(t, "forgot at")
		evs := slices.Concat(all[:at], again, all[at:])
		if diff := cmp.Diff(want, f.replay(t, evs)); diff != "" {
			t.Fatalf("rows (-once +again):\n%s", diff)
		}
	})
}

// TestOrderIsCreatedOnce: a second OrderCreated with another event id, such as of a repaired
// record, appears in the timeline and does not change the order.
func TestOrderIsCreatedOnce(t *testing.T) {
	f := newFixture(t)
	saga := f.sagas()["delivered"]
	f.receive(saga.deliveries...)
	before := lines(t, f.pool, orderRows)
	other := f.story(saga.order).created("c-other", "JPY", item(), item(), item())
	f.receive(other.deliveries...)
	if diff := cmp.Diff(before, lines(t, f.pool, orderRows)); diff != "" {
		t.Errorf("order and items (-before +after):\n%s", diff)
	}
	if got := lines(t, f.pool, `SELECT count(*)::text FROM timeline WHERE event_type = 'OrderCreated'`); got[0] != "2" {
		t.Errorf("%s OrderCreated in the timeline, want 2", got[0])
	}
}

const orderRows = `SELECT to_jsonb(o)::text FROM orders o UNION ALL SELECT to_jsonb(i)::text FROM order_items i ORDER BY 1`

// TestEveryAmountCounts: every published amount can be added up, to sums beyond int64, and a replay
// adds nothing.
func TestEveryAmountCounts(t *testing.T) {
	f := newFixture(t)
	var evs []delivery
	receive := func(amount int64, currency string) {
		v := int64(len(evs) + 1)
		evs = append(evs,
			deliveryOf(app.OnPaymentCompleted, v, events.PaymentCompleted{OrderID: "o-1", Amount: amount, Currency: currency, OccurredAt: start}),
			deliveryOf(app.OnPaymentRefunded, v+1, events.PaymentRefunded{OrderID: "o-1", Amount: -amount / 2, Currency: currency, OccurredAt: start}))
	}
	for range 3 {
		receive(math.MaxInt64, "GBP")
	}
	for range 2 {
		receive(math.MinInt64, "JPY")
	}
	receive(0, "HRK")
	f.receive(slices.Concat(evs, evs)...)
	want := []string{
		"GBP 27670116110564327421 3 -13835058055282163709 3",
		"HRK 0 1 0 1",
		"JPY -18446744073709551616 2 -9223372036854775808 2",
	}
	got := lines(t, f.pool, `SELECT concat_ws(' ', currency, captured, payments, refunded, refunds) FROM revenue_days ORDER BY 1`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("revenue (-want +got):\n%s", diff)
	}
	days, err := f.app.Revenue(t.Context(), start.Add(-24*time.Hour), start)
	if err != nil {
		t.Fatal(err)
	}
	var nets []string
	for _, d := range days {
		nets = append(nets, d.Currency+" "+d.Net.String())
	}
	if diff := cmp.Diff([]string{"GBP 41505174165846491130", "HRK 0", "JPY -9223372036854775808"}, nets); diff != "" {
		t.Errorf("net (-want +got):\n%s", diff)
	}
}

// TestEveryOrderShows: lines and totals of any size, including the smallest and the largest.
func TestEveryOrderShows(t *testing.T) {
	f := newFixture(t)
	f.receive(deliveryOf(app.OnOrderCreated, 1, events.OrderCreated{
		OrderID: "o-1", Currency: "JPY", TotalAmount: math.MaxInt64, OccurredAt: start,
		Items: []events.OrderItem{
			{SKU: "A", Quantity: math.MaxInt32, UnitPrice: math.MaxInt64}, {SKU: "A", Quantity: math.MinInt32, UnitPrice: math.MinInt64}, {},
		},
	}))
	d, err := f.app.Order(t.Context(), "o-1")
	if err != nil {
		t.Fatal(err)
	}
	if *d.Order.TotalAmount != math.MaxInt64 || len(d.Items) != 3 || d.Items[0].UnitPrice != math.MaxInt64 || d.Items[1].Quantity != math.MinInt32 {
		t.Errorf("total %d, items %+v", *d.Order.TotalAmount, d.Items)
	}
}
