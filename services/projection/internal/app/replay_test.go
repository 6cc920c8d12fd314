package app_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"eventshop.example/pkg/events"
)

// The tests of this file call the reactions without an inbox before them: that is an inbox
// which has forgotten everything.

// TestReplayHasNoEffect: all sagas are told again, from the beginning or from anywhere, in
// any order that topics allow and beyond that. Nothing fails, and no row changes.
func TestReplayHasNoEffect(t *testing.T) {
	m := newModels(t)
	all := m.everything()
	var want string
	rapid.Check(t, func(t *rapid.T) {
		if want == "" {
			want = m.replay(t, all)
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
		// The inbox may forget while there is more to come.
		at := rapid.IntRange(0, len(all)).Draw(t, "forgot at")
		evs := slices.Concat(all[:at], again, all[at:])
		if diff := cmp.Diff(want, m.replay(t, evs)); diff != "" {
			t.Fatalf("rows (-once +again):\n%s", diff)
		}
	})
}

// TestOrderIsCreatedOnce: an OrderCreated that comes under another event id, as a repaired
// record may, stands in the timeline and changes nothing of the order.
func TestOrderIsCreatedOnce(t *testing.T) {
	m := newModels(t)
	saga := m.sagas()["delivered"]
	m.hear(saga.told...)
	before := lines(t, m.pool, orderRows)
	other := m.story(saga.order).created("c-other", "JPY", item(), item(), item())
	m.hear(other.told...)
	if diff := cmp.Diff(before, lines(t, m.pool, orderRows)); diff != "" {
		t.Errorf("order and items (-before +after):\n%s", diff)
	}
	if got := lines(t, m.pool, `SELECT count(*)::text FROM timeline WHERE event_type = 'OrderCreated'`); got[0] != "2" {
		t.Errorf("%s OrderCreated in the timeline, want 2", got[0])
	}
}

const orderRows = `SELECT to_jsonb(o)::text FROM orders o UNION ALL SELECT to_jsonb(i)::text FROM order_items i ORDER BY 1`

// TestEveryAmountCounts: whatever was published once can be added up, all of int64 and more
// than it holds, and a replay of it adds nothing.
func TestEveryAmountCounts(t *testing.T) {
	m := newModels(t)
	var evs []said
	tell := func(amount int64, currency string) {
		v := int64(len(evs) + 1)
		evs = append(evs,
			says(m.app.OnPaymentCompleted, v, events.PaymentCompleted{OrderID: "o-1", Amount: amount, Currency: currency, OccurredAt: start}),
			says(m.app.OnPaymentRefunded, v+1, events.PaymentRefunded{OrderID: "o-1", Amount: -amount / 2, Currency: currency, OccurredAt: start}))
	}
	for range 3 {
		tell(math.MaxInt64, "GBP")
	}
	for range 2 {
		tell(math.MinInt64, "JPY")
	}
	tell(0, "HRK")
	m.hear(slices.Concat(evs, evs)...)
	want := []string{
		"GBP 27670116110564327421 3 -13835058055282163709 3",
		"HRK 0 1 0 1",
		"JPY -18446744073709551616 2 -9223372036854775808 2",
	}
	got := lines(t, m.pool, `SELECT concat_ws(' ', currency, captured, payments, refunded, refunds) FROM revenue_days ORDER BY 1`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("revenue (-want +got):\n%s", diff)
	}
	days, err := m.app.Revenue(t.Context(), start.Add(-24*time.Hour), start)
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

// TestEveryOrderShows: lines and totals of any size, the smallest and the greatest.
func TestEveryOrderShows(t *testing.T) {
	m := newModels(t)
	m.hear(says(m.app.OnOrderCreated, 1, events.OrderCreated{
		OrderID: "o-1", Currency: "JPY", TotalAmount: math.MaxInt64, OccurredAt: start,
		Items: []events.OrderItem{
			{SKU: "A", Quantity: math.MaxInt32, UnitPrice: math.MaxInt64}, {SKU: "A", Quantity: math.MinInt32, UnitPrice: math.MinInt64}, {},
		},
	}))
	d, err := m.app.Order(t.Context(), "o-1")
	if err != nil {
		t.Fatal(err)
	}
	if *d.Order.TotalAmount != math.MaxInt64 || len(d.Items) != 3 || d.Items[0].UnitPrice != math.MaxInt64 || d.Items[1].Quantity != math.MinInt32 {
		t.Errorf("total %d, items %+v", *d.Order.TotalAmount, d.Items)
	}
}
