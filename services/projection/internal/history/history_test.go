package history_test

import (
	"testing"
	"time"

	"eventshop.example/pkg/events"
	"eventshop.example/services/projection"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/history"
	"eventshop.example/services/projection/internal/readmodeltest"
)

func TestCustomerOrders(t *testing.T) {
	t.Parallel()
	later := readmodeltest.Noon().Add(time.Hour)
	created := readmodeltest.Event(app.OnOrderCreated, 1, readmodeltest.Created("o", "ada",
		events.OrderItem{SKU: "A", Quantity: 2, UnitPrice: 10}, events.OrderItem{SKU: "B", Quantity: 1, UnitPrice: 5}))
	shipped := readmodeltest.Event(app.OnOrderShipped, 3, events.OrderShipped{OrderID: "o", OccurredAt: later})
	confirmed := readmodeltest.Event(app.OnOrderConfirmed, 2, events.OrderConfirmed{OrderID: "o", OccurredAt: readmodeltest.Noon()})
	paid := readmodeltest.Event(app.OnPaymentCompleted, 1, events.PaymentCompleted{OrderID: "o", Amount: 25, Currency: "GBP", OccurredAt: later})
	for name, tt := range map[string]struct {
		given []readmodeltest.Given
		want  []string
	}{
		"placed":                          {[]readmodeltest.Given{created}, []string{"o ada GBP 25 3 12:00 PENDING 12:00"}},
		"the latest status wins":          {[]readmodeltest.Given{created, confirmed, shipped}, []string{"o ada GBP 25 3 12:00 SHIPPED 13:00"}},
		"before the customer is known":    {[]readmodeltest.Given{shipped}, []string{"o - - 0 0 - SHIPPED 13:00"}},
		"events of others change nothing": {[]readmodeltest.Given{paid}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readmodeltest.New(t, history.Version(), projection.Components()).Then(t, tt.given, `
				SELECT concat_ws(' ', order_id, coalesce(customer_id, '-'), coalesce(nullif(currency, ''), '-'), total_amount, pieces,
					coalesce(to_char(placed_at, 'HH24:MI'), '-'), status, to_char(status_at, 'HH24:MI'))
				FROM customer_orders ORDER BY 1`, tt.want)
		})
	}
}
