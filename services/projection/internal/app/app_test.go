package app_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/services/projection/internal/app"
)

func item() events.OrderItem { return events.OrderItem{SKU: "WIDGET", Quantity: 2, UnitPrice: 1250} }

// TestEachReaction hears one saga event after event and looks at the order's row
// after each: only the order's own events change its status, only payment's ask
// for attention, and each moves updated_at.
func TestEachReaction(t *testing.T) {
	m := newModels(t)
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
		{"refund keeps failing", []string{
			"OrderCreated PENDING - - false 1s", "PaymentCompleted PENDING - - false 2s",
			"InventoryReservationFailed PENDING - - false 3s", "PaymentRefundFailed PENDING - - true 4s",
		}},
	} {
		t.Run(c.saga, func(t *testing.T) {
			saga := m.sagas()[c.saga]
			var got []string
			for _, e := range saga.told {
				m.hear(e)
				got = append(got, e.name+" "+m.row(saga.order))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSagasCoverEveryReaction keeps the sagas honest: an event type the service
// subscribes to and no saga tells is not tested.
func TestSagasCoverEveryReaction(t *testing.T) {
	m := newModels(t)
	var told []string
	for _, saga := range m.sagas() {
		for _, e := range saga.told {
			told = append(told, e.name)
		}
	}
	for _, typ := range events.Catalogue() {
		outside := typ.Topic == events.TopicOrderNotifications || typ.Topic == events.TopicOrderSnapshots
		if !outside && !slices.Contains(told, typ.Name) {
			t.Errorf("no saga tells %s", typ.Name)
		}
	}
}

func TestOrderCreatedFillsTheOrder(t *testing.T) {
	m := newModels(t)
	second := events.OrderItem{SKU: "GADGET", Quantity: 1, UnitPrice: 499}
	m.hear(m.story("o-1").created("c-1", "GBP", item(), second).told...)

	d, err := m.app.Order(t.Context(), "o-1")
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
	items := lines(t, m.pool, `SELECT concat_ws(' ', line, sku, quantity, unit_price) FROM order_items WHERE order_id = 'o-1' ORDER BY line`)
	if diff := cmp.Diff([]string{"1 WIDGET 2 1250", "2 GADGET 1 499"}, items); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
}

func TestTimelineTellsTheSaga(t *testing.T) {
	m := newModels(t)
	saga := m.sagas()["not served"]
	m.hear(saga.told...)
	d, err := m.app.Order(t.Context(), saga.order)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, e := range d.Timeline {
		got = append(got, e.Topic+" "+e.EventType+" "+dash(e.Detail))
		if e.EventID != saga.told[i].id || e.Version == 0 || e.OccurredAt.IsZero() {
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

// TestOrderShowsOnceCreated: what other topics tell first waits, unseen.
func TestOrderShowsOnceCreated(t *testing.T) {
	m := newModels(t)
	saga := m.story("o-1").created("c-1", "GBP", item()).paid(2500, "GBP").reserved()
	m.hear(saga.told[2], saga.told[1])
	if _, err := m.app.Order(t.Context(), "o-1"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("before OrderCreated: %v", err)
	}
	if rows, err := m.app.Orders(t.Context(), app.Filter{Limit: 10}); err != nil || len(rows) != 0 {
		t.Errorf("before OrderCreated: %d orders, %v", len(rows), err)
	}
	m.hear(saga.told[0])
	d, err := m.app.Order(t.Context(), "o-1")
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Timeline) != 3 || m.row("o-1") != "PENDING - - false 3s" {
		t.Errorf("%d events, row %s", len(d.Timeline), m.row("o-1"))
	}
}

// TestLateDeadLetterTurnsNothingBack: an event that went to the dead letters and
// is resubmitted when the saga has gone on shows in the timeline, and no more.
func TestLateDeadLetterTurnsNothingBack(t *testing.T) {
	t.Run("status", func(t *testing.T) {
		m := newModels(t)
		saga := m.sagas()["delivered"]
		late := slices.IndexFunc(saga.told, func(e said) bool { return e.name == "OrderConfirmed" })
		m.hear(slices.Delete(slices.Clone(saga.told), late, late+1)...)
		before := m.row(saga.order)
		m.hear(saga.told[late])
		if got := m.row(saga.order); got != before {
			t.Errorf("row %q became %q", before, got)
		}
	})
	for name, want := range map[string]string{
		"out of stock, refund fails first":    "CANCELLED - out_of_stock false 6s",
		"cancelled, the void has to wait":     "CANCELLED - customer false 6s",
		"cancelled, the void finds a decline": "CANCELLED - payment_failed false 6s",
	} {
		t.Run("needs attention: "+name, func(t *testing.T) {
			m := newModels(t)
			saga := m.sagas()[name]
			late := slices.IndexFunc(saga.told, func(e said) bool { return e.name == "PaymentRefundFailed" })
			m.hear(slices.Delete(slices.Clone(saga.told), late, late+1)...)
			m.hear(saga.told[late])
			if got := m.row(saga.order); got != want {
				t.Errorf("row %q, want %q", got, want)
			}
		})
	}
	t.Run("OrderCreated itself", func(t *testing.T) {
		m := newModels(t)
		saga := m.sagas()["declined"]
		m.hear(saga.told[1:]...)
		if _, err := m.app.Order(t.Context(), saga.order); errs.KindOf(err) != errs.NotFound {
			t.Errorf("an order nobody knows the customer of shows: %v", err)
		}
		m.hear(saga.told[0])
		if got := m.row(saga.order); got != "CANCELLED - payment_failed false 3s" {
			t.Errorf("row %q", got)
		}
	})
}
