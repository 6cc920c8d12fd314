package verify

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/events"
)

// soundReadModels are the read models of soundWorld with all versions, written down row by row.
func soundReadModels(w *world) Projection {
	customers := map[string]string{delivered: "c-1", refunded: "c-2", stuck: "c-3", dead: "c-4", discarded: "c-4", chargedBack: "c-5"}
	all := Versions{
		History: map[string]string{
			delivered:   `"c-1" "GBP" 2500 2 "DELIVERED" 5`,
			refunded:    `"c-2" "GBP" 1250 1 "CANCELLED" 4`,
			stuck:       `"c-3" "GBP" 499 1 "CONFIRMED" 3`,
			dead:        `"c-4" "GBP" 700 1 "CANCELLING" 3`,
			discarded:   `"c-4" "GBP" 700 0 "PENDING" 2`,
			chargedBack: `"c-5" "GBP" 300 0 "CANCELLED" 3`,
		},
		Activity: map[string]map[uuid.UUID]string{},
		Items: map[string]Revenue{
			`2026-11-24 "GBP" "" "WIDGET"`: {Captured: total(2500), Payments: 1},
			`2026-11-25 "GBP" "" "WIDGET"`: {Captured: total(1249), Refunded: total(1250), Payments: 1, Refunds: 1},
			`2026-11-25 "GBP" "" "GADGET"`: {Captured: total(499 + 700), Payments: 2},
			`2026-11-25 "GBP" "" ""`:       {Captured: total(300), Refunded: total(300), Payments: 1, Refunds: 1},
		},
	}
	for id, entries := range w.Projection.Timeline {
		all.Activity[id] = map[uuid.UUID]string{}
		for event, typ := range entries {
			all.Activity[id][event] = activity(typ, customers[id])
		}
	}
	p := w.Projection
	p.Versions = all
	return p
}

// fed adds the versions as the projection service has them.
func (w *world) fed() *Versions {
	w.Projection.Versions = Rebuild(heard(w.Facts)).Versions
	return &w.Projection.Versions
}

func TestVersionsThatAreFedAreCompared(t *testing.T) {
	w := soundWorld()
	w.fed()
	for _, f := range Check(w.Facts) {
		if !f.OK() {
			t.Errorf("%s: %v", f.Invariant, f.Breaches)
		}
	}
	caught(t, "I10", []breach{
		{"a status of before", func(w *world) { w.fed().History[delivered] = historyRow("c-1", "GBP", 2500, 2, "PENDING", 1) }, delivered},
		{"an order that the history lacks", func(w *world) { delete(w.fed().History, refunded) }, refunded},
		{"an order that only the history has", func(w *world) { w.fed().History["order-none"] = "" }, "order-none"},
		{"an event that the activity lacks", func(w *world) {
			for id := range w.fed().Activity[stuck] {
				delete(w.Projection.Versions.Activity[stuck], id)
				break
			}
		}, stuck},
		{"an event without its customer", func(w *world) {
			for id := range w.fed().Activity[stuck] {
				w.Projection.Versions.Activity[stuck][id] = activity("OrderCreated", "")
				break
			}
		}, stuck},
		{"money under another SKU", func(w *world) {
			w.fed().Items[itemKey("2026-11-25", "GBP", "GB", "ELSEWHERE")] = Revenue{Payments: 1}
		}, "ELSEWHERE"},
	})
}

// TestSharesAddUp: the parts of an order's SKUs add up to what was paid, whatever the prices.
func TestSharesAddUp(t *testing.T) {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	rebuilt := func(paid int64, items ...events.OrderItem) map[string]Revenue {
		return Rebuild([]Record{
			{ID: uuid.New(), Version: 1, Type: "PaymentCompleted", Event: &events.PaymentCompleted{OrderID: "o", Amount: paid, Currency: "GBP", OccurredAt: at}},
			{ID: uuid.New(), Version: 3, Type: "OrderCreated", Event: &events.OrderCreated{OrderID: "o", Currency: "GBP", Items: items,
				ShippingAddress: events.Address{Country: "GB"}, OccurredAt: at}},
		}).Versions.Items
	}
	sold := func(sku string) string { return itemKey("2026-11-25", "GBP", "GB", sku) }
	one := func(n int64) Revenue { return Revenue{Captured: total(n), Payments: 1} }
	for name, c := range map[string]struct{ got, want map[string]Revenue }{
		"thirds": {rebuilt(100, events.OrderItem{SKU: "A", Quantity: 1, UnitPrice: 1}, events.OrderItem{SKU: "B", Quantity: 1, UnitPrice: 1}, events.OrderItem{SKU: "C", Quantity: 1, UnitPrice: 1}),
			map[string]Revenue{sold("A"): one(33), sold("B"): one(33), sold("C"): one(34)}},
		"the same SKU twice": {rebuilt(30, events.OrderItem{SKU: "A", Quantity: 1, UnitPrice: 10}, events.OrderItem{SKU: "A", Quantity: 2, UnitPrice: 10}),
			map[string]Revenue{sold("A"): one(30)}},
		"free items": {rebuilt(7, events.OrderItem{SKU: "A", Quantity: 1}, events.OrderItem{SKU: "B", Quantity: 1}),
			map[string]Revenue{sold("A"): one(7), sold("B"): one(0)}},
		"no items": {rebuilt(7), map[string]Revenue{sold(""): one(7)}},
		"sums above int64": {rebuilt(math.MaxInt64, events.OrderItem{SKU: "A", Quantity: math.MaxInt32, UnitPrice: math.MaxInt64}, events.OrderItem{SKU: "B", Quantity: math.MaxInt32, UnitPrice: math.MaxInt64}),
			map[string]Revenue{sold("A"): one(math.MaxInt64 / 2), sold("B"): one(math.MaxInt64 - math.MaxInt64/2)}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	unnamed := Rebuild([]Record{{ID: uuid.New(), Version: 1, Type: "PaymentCompleted",
		Event: &events.PaymentCompleted{OrderID: "o", Amount: 5, Currency: "GBP", OccurredAt: at}}}).Versions.Items
	if diff := cmp.Diff(map[string]Revenue{itemKey("2026-11-25", "GBP", "", ""): one(5)}, unnamed); diff != "" {
		t.Errorf("before the order is known (-want +got):\n%s", diff)
	}
}
