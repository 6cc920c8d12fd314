package app_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/services/projection/internal/app"
	"eventshop.example/services/projection/internal/db"
)

func item() events.OrderItem { return events.OrderItem{SKU: "WIDGET", Quantity: 2, UnitPrice: 1250} }

// TestEachReaction processes one saga event by event and checks the order's row after each event.
// Only the order's own events change its status, only payment's events set attention, and every
// event moves updated_at.
func TestEachReaction(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		saga string
		want []string
	}{
		{"delivered", []string{
			"OrderCreated PENDING - - false 1s", "PaymentCompleted PENDING - - false 2s",
			"InventoryReserved PENDING - - false 3s", "ShipmentScheduled PENDING - - false 4s",
			"OrderConfirmed CONFIRMED - - false 5s", "ShipmentDispatched CONFIRMED - - false 6s",
			"OrderShipped SHIPPED T-1 - false 7s", "ShipmentDelivered SHIPPED T-1 - false 8s",
			"OrderDelivered DELIVERED T-1 - false 9s",
		}},
		{"declined", []string{
			"OrderCreated PENDING - - false 1s", "PaymentFailed PENDING - - false 2s",
			"OrderCancelled CANCELLED - payment_failed false 3s",
		}},
		{"out of stock, refund fails first", []string{
			"OrderCreated PENDING - - false 1s", "PaymentCompleted PENDING - - false 2s",
			"InventoryReservationFailed PENDING - - false 3s", "PaymentRefundFailed PENDING - - true 4s",
			"PaymentRefunded PENDING - - false 5s", "OrderCancelled CANCELLED - out_of_stock false 6s",
		}},
		{"not served", []string{
			"OrderCreated PENDING - - false 1s", "PaymentCompleted PENDING - - false 2s",
			"InventoryReserved PENDING - - false 3s", "ShipmentFailed PENDING - - false 4s",
			"InventoryReleased PENDING - - false 5s", "PaymentRefunded PENDING - - false 6s",
			"OrderCancelled CANCELLED - shipment_failed false 7s",
		}},
		{"cancelled before the charge", []string{
			"OrderCreated PENDING - - false 1s", "OrderCancellationRequested CANCELLING - - false 2s",
			"ShipmentCancelled CANCELLING - - false 3s", "PaymentVoided CANCELLING - - false 4s",
			"OrderCancelled CANCELLED - customer false 5s",
		}},
		{"cancelled, the void has to wait", []string{
			"OrderCreated PENDING - - false 1s", "OrderCancellationRequested CANCELLING - - false 2s",
			"ShipmentCancelled CANCELLING - - false 3s", "PaymentRefundFailed CANCELLING - - true 4s",
			"PaymentVoided CANCELLING - - false 5s", "OrderCancelled CANCELLED - customer false 6s",
		}},
		{"cancelled, the void finds a decline", []string{
			"OrderCreated PENDING - - false 1s", "OrderCancellationRequested CANCELLING - - false 2s",
			"ShipmentCancelled CANCELLING - - false 3s", "PaymentRefundFailed CANCELLING - - true 4s",
			"PaymentFailed CANCELLING - - false 5s", "OrderCancelled CANCELLED - payment_failed false 6s",
		}},
		{"cancelled, the void finds a capture", []string{
			"OrderCreated PENDING - - false 1s", "OrderCancellationRequested CANCELLING - - false 2s",
			"ShipmentCancelled CANCELLING - - false 3s", "PaymentRefundFailed CANCELLING - - true 4s",
			"PaymentCompleted CANCELLING - - true 5s", "PaymentRefunded CANCELLING - - false 6s",
			"OrderCancelled CANCELLED - customer false 7s",
		}},
		{"cancelled too late", []string{
			"OrderCreated PENDING - - false 1s", "PaymentCompleted PENDING - - false 2s",
			"InventoryReserved PENDING - - false 3s", "ShipmentScheduled PENDING - - false 4s",
			"OrderConfirmed CONFIRMED - - false 5s", "OrderCancellationRequested CANCELLING - - false 6s",
			"ShipmentDispatched CANCELLING - - false 7s", "ShipmentCancellationRejected CANCELLING - - false 8s",
			"OrderShipped SHIPPED T-1 - false 9s", "ShipmentDelivered SHIPPED T-1 - false 10s",
			"OrderDelivered DELIVERED T-1 - false 11s",
		}},
		{"orchestrated, every command sent again", []string{
			"OrderCreated PENDING - - false 1s", "PaymentCompleted PENDING - - false 2s",
			"PaymentCommandAnswered PENDING - - false 3s", "InventoryReserved PENDING - - false 4s",
			"InventoryCommandAnswered PENDING - - false 5s", "ShipmentScheduled PENDING - - false 6s",
			"OrderConfirmed CONFIRMED - - false 7s", "OrderCommandAnswered CONFIRMED - - false 8s",
			"OrderCancellationRequested CANCELLING - - false 9s", "ShipmentDispatched CANCELLING - - false 10s",
			"ShipmentCommandAnswered CANCELLING - - false 11s", "OrderShipped SHIPPED T-1 - false 12s",
			"ShipmentDelivered SHIPPED T-1 - false 13s", "OrderDelivered DELIVERED T-1 - false 14s",
		}},
		{"refund keeps failing", []string{
			"OrderCreated PENDING - - false 1s", "PaymentCompleted PENDING - - false 2s",
			"InventoryReservationFailed PENDING - - false 3s", "PaymentRefundFailed PENDING - - true 4s",
		}},
	} {
		t.Run(c.saga, func(t *testing.T) {
			saga := f.sagas()[c.saga]
			var got []string
			for _, e := range saga.deliveries {
				f.receive(e)
				got = append(got, e.name+" "+f.row(saga.order))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSagasCoverEveryReaction: an event type that the service subscribes to and that is in no saga
// would not be tested.
func TestSagasCoverEveryReaction(t *testing.T) {
	f := newFixture(t)
	var emitted []string
	for _, saga := range f.sagas() {
		for _, e := range saga.deliveries {
			emitted = append(emitted, e.name)
		}
	}
	for _, typ := range events.Catalogue().Types() {
		if strings.HasSuffix(typ.Topic, ".events") && !slices.Contains(emitted, typ.Name) {
			t.Errorf("no saga has %s", typ.Name)
		}
	}
}

func TestOrderCreatedFillsTheOrder(t *testing.T) {
	f := newFixture(t)
	second := events.OrderItem{SKU: "GADGET", Quantity: 1, UnitPrice: 499}
	f.receive(f.story("o-1").created("c-1", "GBP", item(), second).deliveries...)

	d, err := f.app.Order(t.Context(), "o-1")
	if err != nil {
		t.Fatal(err)
	}
	got := []string{
		*d.Order.CustomerID, *d.Order.CustomerName, *d.Order.CustomerEmail,
		*d.Order.Street, *d.Order.City, *d.Order.PostalCode, *d.Order.Country, *d.Order.Currency,
	}
	want := []string{"c-1", "Ada", "ada@example.com", "1 Test St", "London", "N1", "GB", "GBP"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if *d.Order.TotalAmount != 2999 || !d.Order.CreatedAt.Equal(d.Order.UpdatedAt) {
		t.Errorf("total %d, created %s, updated %s", *d.Order.TotalAmount, d.Order.CreatedAt, d.Order.UpdatedAt)
	}
	items := lines(t, f.pool, `SELECT concat_ws(' ', line, sku, quantity, unit_price) FROM order_items WHERE order_id = 'o-1' ORDER BY line`)
	if diff := cmp.Diff([]string{"1 WIDGET 2 1250", "2 GADGET 1 499"}, items); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
}

func TestTimelineShowsTheSaga(t *testing.T) {
	f := newFixture(t)
	saga := f.sagas()["not served"]
	f.receive(saga.deliveries...)
	d, err := f.app.Order(t.Context(), saga.order)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, e := range d.Timeline {
		got = append(got, e.Topic+" "+e.EventType+" "+dash(e.Detail))
		if e.EventID != saga.deliveries[i].id || e.Version == 0 || e.OccurredAt.IsZero() {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
	want := []string{
		"order.events OrderCreated -",
		"payment.events PaymentCompleted -",
		"inventory.events InventoryReserved -",
		"shipping.events ShipmentFailed address_not_served",
		"inventory.events InventoryReleased shipment_failed",
		"payment.events PaymentRefunded out_of_stock",
		"order.events OrderCancelled shipment_failed",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("timeline (-want +got):\n%s", diff)
	}
}

// TestTheStyleIsThatOfOrderCreated: of the first one, also when the other events of the order come before it.
// The orders that are there at the upgrade are choreographed. A row that the release before has written
// beside this one has no style.
func TestTheStyleIsThatOfOrderCreated(t *testing.T) {
	f := newFixture(t)
	for style, want := range map[string]string{"orchestrated": "orchestrated", "choreographed": "choreographed", "": "choreographed"} {
		order := "o-" + style
		created := deliveryOf(app.OnOrderCreated, 1, events.OrderCreated{OrderID: order, Currency: "GBP", SagaStyle: style, OccurredAt: start})
		again := deliveryOf(app.OnOrderCreated, 2, events.OrderCreated{OrderID: order, Currency: "GBP", SagaStyle: "another", OccurredAt: start})
		f.receive(deliveryOf(app.OnPaymentCommandAnswered, 1, events.PaymentCommandAnswered{OrderID: order, Command: "ChargePayment", Outcome: "refused", OccurredAt: start}))
		f.receive(created, again)
		d, err := f.app.Order(t.Context(), order)
		if err != nil {
			t.Fatal(err)
		}
		if d.Order.SagaStyle == nil || *d.Order.SagaStyle != want {
			t.Errorf("style %q is shown as %v, want %q", style, d.Order.SagaStyle, want)
		}
		if len(d.Timeline) != 3 || !slices.ContainsFunc(d.Timeline, func(e db.Timeline) bool { return e.Detail == "ChargePayment: refused" }) {
			t.Errorf("timeline %+v", d.Timeline)
		}
	}
	if _, err := f.pool.Exec(t.Context(), `INSERT INTO orders (order_id, created_at, updated_at) VALUES ('o-beside', now(), now())`); err != nil {
		t.Fatal(err)
	}
	if d, err := f.app.Order(t.Context(), "o-beside"); err != nil || d.Order.SagaStyle != nil {
		t.Errorf("a row without a style: %v, %v", d.Order.SagaStyle, err)
	}
}

// TestOrderShowsOnceCreated: events of other topics that arrive first wait, and the order stays
// invisible.
func TestOrderShowsOnceCreated(t *testing.T) {
	f := newFixture(t)
	saga := f.story("o-1").created("c-1", "GBP", item()).paid(2500, "GBP").reserved()
	f.receive(saga.deliveries[2], saga.deliveries[1])
	if _, err := f.app.Order(t.Context(), "o-1"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("before OrderCreated: %v", err)
	}
	if rows, err := f.app.Orders(t.Context(), app.Filter{Limit: 10}); err != nil || len(rows) != 0 {
		t.Errorf("before OrderCreated: %d orders, %v", len(rows), err)
	}
	f.receive(saga.deliveries[0])
	d, err := f.app.Order(t.Context(), "o-1")
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Timeline) != 3 || f.row("o-1") != "PENDING - - false 3s" {
		t.Errorf("%d events, row %s", len(d.Timeline), f.row("o-1"))
	}
}

// TestLateDeadLetterTurnsNothingBack: a dead letter that is resubmitted after later events appears
// in the timeline and changes nothing else.
func TestLateDeadLetterTurnsNothingBack(t *testing.T) {
	t.Run("status", func(t *testing.T) {
		f := newFixture(t)
		saga := f.sagas()["delivered"]
		late := slices.IndexFunc(saga.deliveries, func(e delivery) bool { return e.name == "OrderConfirmed" })
		f.receive(slices.Delete(slices.Clone(saga.deliveries), late, late+1)...)
		before := f.row(saga.order)
		f.receive(saga.deliveries[late])
		if got := f.row(saga.order); got != before {
			t.Errorf("row %q became %q", before, got)
		}
	})
	for name, want := range map[string]string{
		"out of stock, refund fails first":    "CANCELLED - out_of_stock false 6s",
		"cancelled, the void has to wait":     "CANCELLED - customer false 6s",
		"cancelled, the void finds a decline": "CANCELLED - payment_failed false 6s",
	} {
		t.Run("needs attention: "+name, func(t *testing.T) {
			f := newFixture(t)
			saga := f.sagas()[name]
			late := slices.IndexFunc(saga.deliveries, func(e delivery) bool { return e.name == "PaymentRefundFailed" })
			f.receive(slices.Delete(slices.Clone(saga.deliveries), late, late+1)...)
			f.receive(saga.deliveries[late])
			if got := f.row(saga.order); got != want {
				t.Errorf("row %q, want %q", got, want)
			}
		})
	}
	t.Run("OrderCreated itself", func(t *testing.T) {
		f := newFixture(t)
		saga := f.sagas()["declined"]
		f.receive(saga.deliveries[1:]...)
		if _, err := f.app.Order(t.Context(), saga.order); errs.KindOf(err) != errs.NotFound {
			t.Errorf("an order nobody knows the customer of shows: %v", err)
		}
		f.receive(saga.deliveries[0])
		if got := f.row(saga.order); got != "CANCELLED - payment_failed false 3s" {
			t.Errorf("row %q", got)
		}
	})
}
