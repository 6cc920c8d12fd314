package revenue2_test

import (
	"math"
	"testing"
	"time"

	"eventshop.example/pkg/events"
	"eventshop.example/services/projection"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/readmodeltest"
	"eventshop.example/services/projection/internal/revenue2"
)

const (
	items = `SELECT concat_ws(' ', day, currency, region, sku, captured, refunded, payments, refunds) FROM revenue_items
		WHERE payments <> 0 OR refunds <> 0 ORDER BY 1`
	days = `SELECT concat_ws(' ', day, currency, captured, refunded, payments, refunds) FROM revenue_days ORDER BY 1`
)

func paid(order string, amount int64) readmodeltest.Given {
	return readmodeltest.Event(app.OnPaymentCompleted, 1, events.PaymentCompleted{OrderID: order, Amount: amount, Currency: "GBP", OccurredAt: readmodeltest.Noon()})
}

func refunded(order string, amount int64) readmodeltest.Given {
	return readmodeltest.Event(app.OnPaymentRefunded, 2, events.PaymentRefunded{
		OrderID: order, Amount: amount, Currency: "GBP", OccurredAt: readmodeltest.Noon().Add(24 * time.Hour),
	})
}

func created(order string, bought ...events.OrderItem) readmodeltest.Given {
	return readmodeltest.Event(app.OnOrderCreated, 1, readmodeltest.Created(order, "c", bought...))
}

func TestRevenueByRegionAndSKU(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		given       []readmodeltest.Given
		items, days []string
	}{
		"an order without money has no revenue": {
			given: []readmodeltest.Given{created("o", events.OrderItem{SKU: "A", Quantity: 1, UnitPrice: 5})},
		},
		"money of an order that is not known": {
			given: []readmodeltest.Given{paid("o", 500)},
			items: []string{"2026-11-24 GBP   500 0 1 0"},
			days:  []string{"2026-11-24 GBP 500 0 1 0"},
		},
		"the money divides by the items, and the parts add up": {
			given: []readmodeltest.Given{
				created("o", events.OrderItem{SKU: "A", Quantity: 1, UnitPrice: 1}, events.OrderItem{SKU: "B", Quantity: 1, UnitPrice: 1}, events.OrderItem{SKU: "C", Quantity: 1, UnitPrice: 1}),
				paid("o", 100), refunded("o", 50),
			},
			items: []string{
				"2026-11-24 GBP GB A 33 0 1 0", "2026-11-24 GBP GB B 33 0 1 0", "2026-11-24 GBP GB C 34 0 1 0",
				"2026-11-25 GBP GB A 0 16 0 1", "2026-11-25 GBP GB B 0 17 0 1", "2026-11-25 GBP GB C 0 17 0 1",
			},
			days: []string{"2026-11-24 GBP 100 0 1 0", "2026-11-25 GBP 0 50 0 1"},
		},
		"lines of one SKU are one": {
			given: []readmodeltest.Given{
				created("o", events.OrderItem{SKU: "A", Quantity: 2, UnitPrice: 10}, events.OrderItem{SKU: "B", Quantity: 1, UnitPrice: 30}, events.OrderItem{SKU: "A", Quantity: 5, UnitPrice: 10}),
				paid("o", 100),
			},
			items: []string{"2026-11-24 GBP GB A 70 0 1 0", "2026-11-24 GBP GB B 30 0 1 0"},
			days:  []string{"2026-11-24 GBP 100 0 1 0"},
		},
		"items without a price": {
			given: []readmodeltest.Given{created("o", events.OrderItem{SKU: "A", Quantity: 2}, events.OrderItem{SKU: "B", Quantity: 2}), paid("o", 7)},
			items: []string{"2026-11-24 GBP GB A 7 0 1 0", "2026-11-24 GBP GB B 0 0 1 0"},
			days:  []string{"2026-11-24 GBP 7 0 1 0"},
		},
		"sums beyond int64": {
			given: []readmodeltest.Given{
				created("o", events.OrderItem{SKU: "A", Quantity: 1, UnitPrice: math.MaxInt64}), created("p", events.OrderItem{SKU: "A", Quantity: 1, UnitPrice: math.MaxInt64}),
				paid("o", math.MaxInt64), paid("p", math.MaxInt64),
			},
			items: []string{"2026-11-24 GBP GB A 18446744073709551614 0 2 0"},
			days:  []string{"2026-11-24 GBP 18446744073709551614 0 2 0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := readmodeltest.New(t, revenue2.Version(), projection.Components())
			for query, want := range map[string][]string{items: tt.items, days: tt.days} {
				if want == nil {
					want = []string{}
				}
				s.Then(t, tt.given, query, want)
			}
		})
	}
}
