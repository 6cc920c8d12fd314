package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/internal/order"
)

// TestRoads walks each saga on the database: the status it ends in and what other
// services are told, with versions.
func TestRoads(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	scheduled := func(k *kit, id string) {
		tell(k, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
	}
	dispatched := func(k *kit, id string) {
		tell(k, k.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, TrackingID: "T1"})
	}
	cancelled := func(k *kit, id string) {
		if o, err := k.cancel(id, "changed my mind"); err != nil || o.Status != order.Cancelling {
			k.t.Fatalf("cancel: %s, %v", o.Status, err)
		}
	}
	tests := map[string]struct {
		road   func(k *kit, id string)
		status order.Status
		cause  *order.Cause
		events []string
	}{
		"delivered": {
			road: func(k *kit, id string) {
				scheduled(k, id)
				dispatched(k, id)
				tell(k, k.app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: at})
			},
			status: order.Delivered,
			events: []string{"OrderCreated@3", "OrderConfirmed@4", "OrderShipped@5", "OrderDelivered@6"},
		},
		"declined": {
			road: func(k *kit, id string) {
				tell(k, k.app.OnPaymentFailed, events.PaymentFailed{OrderID: id, Reason: "insufficient_funds"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "payment_failed", Detail: "insufficient_funds"},
			events: []string{"OrderCreated@3", "OrderCancelled@4"},
		},
		"out of stock": {
			road: func(k *kit, id string) {
				tell(k, k.app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: id, Reason: "out_of_stock",
					Shortages: []events.Shortage{{SKU: "WIDGET-01", Requested: 2, Available: 1}}})
				if o := k.get(id); o.Status != order.Pending {
					k.t.Errorf("%s before the money is back", o.Status)
				}
				tell(k, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "out_of_stock"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "out_of_stock", Detail: "out_of_stock: WIDGET-01: 2 wanted, 1 there"},
			events: []string{"OrderCreated@3", "OrderCancelled@5"},
		},
		"carrier refuses": {
			road: func(k *kit, id string) {
				tell(k, k.app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served"})
				tell(k, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "shipment_failed"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "shipment_failed", Detail: "address_not_served"},
			events: []string{"OrderCreated@3", "OrderCancelled@5"},
		},
		"cancelled before dispatch": {
			road: func(k *kit, id string) {
				scheduled(k, id)
				cancelled(k, id)
				tell(k, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "customer"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "customer", Detail: "changed my mind"},
			events: []string{"OrderCreated@3", "OrderConfirmed@4", "OrderCancellationRequested@5", "OrderCancelled@6"},
		},
		"cancelled before anything": {
			road: func(k *kit, id string) {
				cancelled(k, id)
				tell(k, k.app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "customer", Detail: "changed my mind"},
			events: []string{"OrderCreated@3", "OrderCancellationRequested@4", "OrderCancelled@5"},
		},
		"cancelled too late": {
			road: func(k *kit, id string) {
				scheduled(k, id)
				cancelled(k, id)
				dispatched(k, id)
				tell(k, k.app.OnShipmentCancellationRejected, events.ShipmentCancellationRejected{OrderID: id, Reason: "dispatched"})
			},
			status: order.Shipped,
			events: []string{"OrderCreated@3", "OrderConfirmed@4", "OrderCancellationRequested@5", "OrderShipped@6"},
		},
		"refund fails, then works": {
			road: func(k *kit, id string) {
				cancelled(k, id)
				tell(k, k.app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id, Reason: "gateway down", Attempts: 9})
				if o := k.get(id); o.Attention == nil || o.Attention.Reason != "PaymentRefundFailed" {
					k.t.Errorf("attention: %v", o.Attention)
				}
				tell(k, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "customer"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "customer", Detail: "changed my mind"},
			events: []string{"OrderCreated@3", "OrderCancellationRequested@4", "OrderCancelled@6"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			id := k.place(cart()).ID
			tt.road(k, id)

			o := k.get(id)
			if o.Status != tt.status || o.Attention != nil {
				t.Errorf("%s, attention %v, want %s and none", o.Status, o.Attention, tt.status)
			}
			if diff := cmp.Diff(tt.cause, o.Cancelled); diff != "" {
				t.Errorf("cancelled: %s", diff)
			}
			if diff := cmp.Diff(tt.events, k.published(id)); diff != "" {
				t.Errorf("published: %s", diff)
			}
			if n := k.count(`SELECT count(*) FROM saga_deadlines`); n != 0 {
				t.Errorf("%d deadlines left", n)
			}
			rows := k.outbox(id)
			if last := rows[len(rows)-1]; last != (row{"order.snapshots", "OrderSnapshot", o.Version}) {
				t.Errorf("the last row is %v, not the snapshot of version %d", last, o.Version)
			}
		})
	}
}

// TestRedelivery: an event that comes again, past the inbox, changes nothing.
func TestRedelivery(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.place(cart()).ID
	for range 2 {
		tell(k, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
	}
	if n := k.count(`SELECT count(*) FROM events WHERE stream_id = $1`, id); n != 4 {
		t.Errorf("%d events, want 4", n)
	}
	if n := len(k.outbox(id)); n != 5 {
		t.Errorf("%d outbox rows, want 5", n)
	}
}

func TestCausationIsCarriedOn(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.place(cart()).ID
	e := event(events.PaymentFailed{OrderID: id, Reason: "insufficient_funds"})
	e.CorrelationID, e.TraceParent = "corr-1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if err := k.tx(func(tx pgx.Tx) error { return k.app.OnPaymentFailed(context.Background(), tx, e) }); err != nil {
		t.Fatal(err)
	}
	n := k.count(`SELECT count(*) FROM outbox WHERE aggregate_id = $1 AND ce_correlationid = 'corr-1' AND ce_causationid = $2`, id, e.ID.String())
	if n != 2 { // OrderCancelled and OrderSnapshot
		t.Errorf("%d rows carry the cause", n)
	}
	if n := k.count(`SELECT count(*) FROM events WHERE stream_id = $1 AND metadata->>'causationId' = $2`, id, e.ID.String()); n != 1 {
		t.Errorf("%d stored events carry the cause", n)
	}
}

func TestUnknownOrder(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := uuid.NewString()
	if err := told(k, k.app.OnPaymentFailed, events.PaymentFailed{OrderID: id}); errs.KindOf(err) != errs.Hopeless {
		t.Errorf("event about an unknown order: %v", err)
	}
	if _, err := k.cancel(id, ""); errs.KindOf(err) != errs.NotFound {
		t.Errorf("cancel: %v", err)
	}
	if _, err := k.app.GetOrder(context.Background(), id); errs.KindOf(err) != errs.NotFound {
		t.Errorf("get: %v", err)
	}
	if _, err := k.app.GetOrderEvents(context.Background(), id); errs.KindOf(err) != errs.NotFound {
		t.Errorf("events: %v", err)
	}
}

func TestCancelOrder(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.place(cart()).ID
	for range 2 {
		if o, err := k.cancel(id, "changed my mind"); err != nil || o.Status != order.Cancelling {
			t.Fatalf("%s, %v", o.Status, err)
		}
	}
	tell(k, k.app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
	if o, err := k.cancel(id, ""); err != nil || o.Status != order.Cancelled {
		t.Errorf("cancelled already: %s, %v", o.Status, err)
	}

	shipped := k.place(cart()).ID
	tell(k, k.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: shipped, TrackingID: "T1"})
	if _, err := k.cancel(shipped, ""); errs.KindOf(err) != errs.Conflict {
		t.Errorf("shipped: %v", err)
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	soon := cart()
	soon.ConfirmWithin = time.Second
	late, confirmed, patient := k.place(soon).ID, k.place(soon).ID, k.place(cart()).ID
	tell(k, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: confirmed, TrackingID: "T1"})

	pass := func(want int) {
		t.Helper()
		if n, err := k.app.PassDeadlines(context.Background()); n != want || err != nil {
			t.Fatalf("%d due, %v; want %d", n, err, want)
		}
	}
	k.advance(time.Second - time.Microsecond)
	pass(0)
	k.advance(time.Microsecond)
	pass(1)
	pass(0)
	for id, want := range map[string]order.Status{late: order.Cancelling, confirmed: order.Confirmed, patient: order.Pending} {
		if o := k.get(id); o.Status != want {
			t.Errorf("%s, want %s", o.Status, want)
		}
	}
	if diff := cmp.Diff([]string{"OrderCreated@3", "OrderCancellationRequested@4"}, k.published(late)); diff != "" {
		t.Error(diff)
	}
	if o := k.get(late); o.Cancellation.Reason != order.ReasonDeadline {
		t.Errorf("requested for %v", o.Cancellation)
	}
}

// TestDeadlineRowWithoutNeed: a row whose order has moved on passes once and is gone.
func TestDeadlineRowWithoutNeed(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.place(cart()).ID
	tell(k, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
	k.exec(`INSERT INTO saga_deadlines VALUES ('` + id + `', '2020-01-01')`)
	if n, err := k.app.PassDeadlines(context.Background()); n != 1 || err != nil {
		t.Fatalf("%d due, %v", n, err)
	}
	if n := k.count(`SELECT count(*) FROM saga_deadlines`); n != 0 || k.get(id).Status != order.Confirmed {
		t.Errorf("%d rows left, order %s", n, k.get(id).Status)
	}
}

// TestOneBadDeadlineDelaysNoOther: an order that cannot be loaded is reported, the
// rest is done.
func TestOneBadDeadlineDelaysNoOther(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.place(app.PlaceOrder{ConfirmWithin: time.Second, Customer: cart().Customer, ShippingAddress: cart().ShippingAddress,
		Items: cart().Items, TotalAmount: 9999, Currency: "GBP"}).ID
	k.exec(`INSERT INTO saga_deadlines VALUES ('` + uuid.NewString() + `', '2020-01-01')`)
	k.advance(time.Second)
	n, err := k.app.PassDeadlines(context.Background())
	if n != 2 || errs.KindOf(err) != errs.NotFound {
		t.Errorf("%d due, %v", n, err)
	}
	if o := k.get(id); o.Status != order.Cancelling {
		t.Errorf("%s", o.Status)
	}
}

func TestRunDeadlinesEndsWithItsContext(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.app.RunDeadlines(ctx) }()
	cancel(errors.New("stop"))
	if err := <-done; err != nil {
		t.Error(err)
	}
}
