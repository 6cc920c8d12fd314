package app_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/order"
)

// TestWhoAndWhy: the audit names the customer, the deadline, or the service and its event. Events of
// the release before, which did not store it, have the same actors.
func TestWhoAndWhy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	short := f.place(cart()).ID
	mustReceive(f, app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: short, Reason: "out_of_stock"})
	mustReceive(f, app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: short, Reason: "down", Attempts: 3})
	mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: short, Reason: "out_of_stock"})
	late := f.place(cart()).ID
	f.advance(f.get(late).ConfirmBy.Sub(f.time()))
	if n, err := f.app.PassDeadlines(context.Background()); err != nil || n != 1 {
		t.Fatalf("%d deadlines, %v", n, err)
	}
	mustReceive(f, app.OnShipmentFailed, events.ShipmentFailed{OrderID: late, Reason: "address_not_served"})
	gone := f.place(cart()).ID
	if _, err := f.cancel(gone, "changed my mind"); err != nil {
		t.Fatal(err)
	}
	mustReceive(f, app.OnShipmentCancellationRejected, events.ShipmentCancellationRejected{OrderID: gone, Reason: "dispatched"})
	mustReceive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: gone, TrackingID: "T1"})
	mustReceive(f, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: gone, DeliveredAt: f.time()})
	mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: gone})

	f.exec(`CREATE TABLE old AS TABLE events`)
	f.exec(`UPDATE old SET stream_id = overlay(stream_id PLACING 'ffffffff' FROM 1), metadata = metadata - 'input'`)
	f.exec(`INSERT INTO events (stream_id, version, event_type, data, metadata) SELECT stream_id, version, event_type, data, metadata FROM old ORDER BY stream_id, version`)
	placed := []string{"OrderCreated customer ", "ItemAdded customer ", "ItemAdded customer "}
	for id, more := range map[string][]string{
		short: {"OrderFulfilmentFailed inventory InventoryReservationFailed", "OrderNeedsAttention payment PaymentRefundFailed", "OrderCancelled payment PaymentRefunded"},
		late:  {"OrderCancellationRequested deadline PassDeadline", "OrderFulfilmentFailed shipping ShipmentFailed"},
		gone: {"OrderCancellationRequested customer RequestCancellation", "OrderCancellationRejected shipping ShipmentCancellationRejected",
			"OrderShipped shipping ShipmentDispatched", "OrderDelivered shipping ShipmentDelivered", "OrderNeedsAttention payment PaymentRefunded"},
	} {
		h, err := f.app.GetOrderEvents(context.Background(), id, 0, 100)
		if err != nil || h.More || h.Currency != "GBP" {
			t.Fatalf("%+v, %v", h, err)
		}
		old, err := f.app.GetOrderEvents(context.Background(), "ffffffff"+id[8:], 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, e := range h.Events {
			got = append(got, fmt.Sprintf("%s %s %s", e.Event.Name(), e.Actor, e.CausedBy))
			byRequest := e.CausedBy == "" || e.CausedBy == order.RequestCancellation || e.CausedBy == order.PassDeadline
			if e.CorrelationID != id || byRequest != (e.CausationID == "") {
				t.Errorf("%+v", e)
			}
			if old.Events[i].Actor != e.Actor || old.Events[i].CausedBy != "" {
				t.Errorf("of an earlier release: %+v, now %+v", old.Events[i], e)
			}
		}
		if diff := cmp.Diff(append(placed[:3:3], more...), got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestPagesOfEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.place(cart()).ID
	for _, tc := range []struct {
		after int64
		limit int
		want  string
	}{{0, 2, "[1 2] true"}, {2, 2, "[3] false"}, {0, 3, "[1 2 3] false"}, {1, 1, "[2] true"}, {3, 5, "[] false"}, {99, 5, "[] false"}} {
		h, err := f.app.GetOrderEvents(context.Background(), id, tc.after, tc.limit)
		versions := []int64{}
		for _, e := range h.Events {
			versions = append(versions, e.Version)
		}
		if got := fmt.Sprint(versions, h.More); got != tc.want || h.Currency != "GBP" || err != nil {
			t.Errorf("after %d, at most %d: %s, %q, %v; want %s", tc.after, tc.limit, got, h.Currency, err, tc.want)
		}
	}
	for _, after := range []int64{0, 1} {
		if _, err := f.app.GetOrderEvents(context.Background(), uuid.NewString(), after, 5); errs.KindOf(err) != errs.NotFound {
			t.Errorf("no order, after %d: %v", after, err)
		}
	}
}
