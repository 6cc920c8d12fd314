package activity_test

import (
	"testing"

	"eventshop.example/pkg/events"
	"eventshop.example/services/projection"
	"eventshop.example/services/projection/internal/activity"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/readmodeltest"
)

func TestCustomerActivity(t *testing.T) {
	t.Parallel()
	created := readmodeltest.Event(app.OnOrderCreated, 1, readmodeltest.Created("o", "ada"))
	declined := readmodeltest.Event(app.OnPaymentFailed, 1, events.PaymentFailed{OrderID: "o", Reason: "insufficient_funds", OccurredAt: readmodeltest.Noon()})
	other := readmodeltest.Event(app.OnOrderCreated, 1, readmodeltest.Created("p", "bob"))
	for name, tt := range map[string]struct {
		given []readmodeltest.Given
		want  []string
	}{
		"nothing":                         {[]readmodeltest.Given{}, []string{}},
		"an event waits for its customer": {[]readmodeltest.Given{declined}, []string{"- o payment.events PaymentFailed insufficient_funds"}},
		"all events of an order name a customer": {
			[]readmodeltest.Given{created, declined, other},
			[]string{"ada o order.events OrderCreated ", "ada o payment.events PaymentFailed insufficient_funds", "bob p order.events OrderCreated "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readmodeltest.New(t, activity.Version(), projection.Components()).Then(t, tt.given, `
				SELECT concat_ws(' ', coalesce(customer_id, '-'), order_id, topic, event_type, detail) FROM customer_activity ORDER BY 1`, tt.want)
		})
	}
}
