package app_test

import (
	"context"
	"testing"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
)

// TestPublishedVersion: at every version of a stream it is the version of the last order event in
// the outbox up to there, whatever private events are in between.
func TestPublishedVersion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	late := f.place(cart()).ID // too late to cancel
	if _, err := f.cancel(late, ""); err != nil {
		t.Fatal(err)
	}
	mustReceive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: late, TrackingID: "T"})
	mustReceive(f, app.OnShipmentCancellationRejected, events.ShipmentCancellationRejected{OrderID: late, Reason: "dispatched"})
	mustReceive(f, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: late})
	failed := f.place(cart()).ID
	mustReceive(f, app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: failed})
	mustReceive(f, app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: failed})
	mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: failed})

	for _, id := range []string{late, failed} {
		last := f.get(id).Version
		if n := int64(len(f.published(id))); n >= last-2 { // OrderCreated stands for three domain events
			t.Fatalf("%d domain events and %d published ones: none is private", last, n)
		}
		for until := int64(3); until <= last; until++ {
			var want int64
			for _, r := range f.outbox(id) {
				if r.Topic == events.TopicOrderEvents && r.Version <= until {
					want = max(want, r.Version)
				}
			}
			got, err := f.app.PublishedVersion(context.Background(), f.pool, id, until)
			if err != nil || got != want {
				t.Errorf("%v up to version %d: %d, %v; want %d", f.published(id), until, got, err, want)
			}
		}
	}
	if _, err := f.app.PublishedVersion(context.Background(), f.pool, "no order", 1); errs.KindOf(err) != errs.NotFound {
		t.Errorf("no order: %v", err)
	}
}
