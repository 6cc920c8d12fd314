package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/order"
)

// TestRoads runs each saga on the database and checks its final status and the events that other
// services receive, with versions.
func TestRoads(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	scheduled := func(f *fixture, id string) {
		mustReceive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
	}
	dispatched := func(f *fixture, id string) {
		mustReceive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, TrackingID: "T1"})
	}
	cancelled := func(f *fixture, id string) {
		if o, err := f.cancel(id, "changed my mind"); err != nil || o.State != order.Cancelling {
			f.t.Fatalf("cancel: %s, %v", o.State, err)
		}
	}
	tests := map[string]struct {
		road   func(f *fixture, id string)
		status order.State
		cause  *order.Cause
		events []string
	}{
		"delivered": {
			road: func(f *fixture, id string) {
				scheduled(f, id)
				dispatched(f, id)
				mustReceive(f, app.OnShipmentDelivered, events.ShipmentDelivered{OrderID: id, DeliveredAt: at})
			},
			status: order.Delivered,
			events: []string{"OrderCreated@3", "OrderConfirmed@4", "OrderShipped@5", "OrderDelivered@6"},
		},
		"declined": {
			road: func(f *fixture, id string) {
				mustReceive(f, app.OnPaymentFailed, events.PaymentFailed{OrderID: id, Reason: "insufficient_funds"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "payment_failed", Detail: "insufficient_funds"},
			events: []string{"OrderCreated@3", "OrderCancelled@4"},
		},
		"unknown SKU": {
			road: func(f *fixture, id string) {
				mustReceive(f, app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: id, Reason: "unknown_sku",
					Shortages: []events.Shortage{{SKU: "GADGET-05", Requested: 1}, {SKU: "WIDGET-01", Requested: 2, Available: 1}}})
				mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "unknown_sku"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "out_of_stock",
				Detail: "unknown_sku: GADGET-05: 1 wanted, the SKU is unknown; WIDGET-01: 2 wanted, 1 there"},
			events: []string{"OrderCreated@3", "OrderCancelled@5"},
		},
		"unknown SKU among sold out ones": {
			road: func(f *fixture, id string) {
				mustReceive(f, app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: id, Reason: "unknown_sku",
					Shortages: []events.Shortage{{SKU: "GADGET-05", Requested: 1}, {SKU: "WIDGET-01", Requested: 2}}})
				mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "unknown_sku"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "out_of_stock",
				Detail: "unknown_sku: GADGET-05: 1 wanted, the SKU is unknown or sold out; WIDGET-01: 2 wanted, the SKU is unknown or sold out"},
			events: []string{"OrderCreated@3", "OrderCancelled@5"},
		},
		"out of stock": {
			road: func(f *fixture, id string) {
				mustReceive(f, app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: id, Reason: "out_of_stock",
					Shortages: []events.Shortage{{SKU: "WIDGET-01", Requested: 2, Available: 1}}})
				if o := f.get(id); o.State != order.Pending {
					f.t.Errorf("%s before the money is back", o.State)
				}
				mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "out_of_stock"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "out_of_stock", Detail: "out_of_stock: WIDGET-01: 2 wanted, 1 there"},
			events: []string{"OrderCreated@3", "OrderCancelled@5"},
		},
		"carrier refuses": {
			road: func(f *fixture, id string) {
				mustReceive(f, app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served"})
				mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "shipment_failed"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "shipment_failed", Detail: "address_not_served"},
			events: []string{"OrderCreated@3", "OrderCancelled@5"},
		},
		"cancelled before dispatch": {
			road: func(f *fixture, id string) {
				scheduled(f, id)
				cancelled(f, id)
				mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "customer"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "customer", Detail: "changed my mind"},
			events: []string{"OrderCreated@3", "OrderConfirmed@4", "OrderCancellationRequested@5", "OrderCancelled@6"},
		},
		"cancelled before anything": {
			road: func(f *fixture, id string) {
				cancelled(f, id)
				mustReceive(f, app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "customer", Detail: "changed my mind"},
			events: []string{"OrderCreated@3", "OrderCancellationRequested@4", "OrderCancelled@5"},
		},
		"cancelled too late": {
			road: func(f *fixture, id string) {
				scheduled(f, id)
				cancelled(f, id)
				dispatched(f, id)
				mustReceive(f, app.OnShipmentCancellationRejected, events.ShipmentCancellationRejected{OrderID: id, Reason: "dispatched"})
			},
			status: order.Shipped,
			events: []string{"OrderCreated@3", "OrderConfirmed@4", "OrderCancellationRequested@5", "OrderShipped@6"},
		},
		"refund fails, then works": {
			road: func(f *fixture, id string) {
				cancelled(f, id)
				mustReceive(f, app.OnPaymentRefundFailed, events.PaymentRefundFailed{OrderID: id, Reason: "gateway down", Attempts: 9})
				if o := f.get(id); o.Attention == nil || o.Attention.Reason != "PaymentRefundFailed" {
					f.t.Errorf("attention: %v", o.Attention)
				}
				mustReceive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "customer"})
			},
			status: order.Cancelled, cause: &order.Cause{Reason: "customer", Detail: "changed my mind"},
			events: []string{"OrderCreated@3", "OrderCancellationRequested@4", "OrderCancelled@6"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			id := f.place(cart()).ID
			tt.road(f, id)

			o := f.get(id)
			if o.State != tt.status || o.Attention != nil {
				t.Errorf("%s, attention %v, want %s and none", o.State, o.Attention, tt.status)
			}
			if diff := cmp.Diff(tt.cause, o.Cancelled); diff != "" {
				t.Errorf("cancelled: %s", diff)
			}
			if diff := cmp.Diff(tt.events, f.published(id)); diff != "" {
				t.Errorf("published: %s", diff)
			}
			if n := f.count(`SELECT count(*) FROM saga_deadlines`); n != 0 {
				t.Errorf("%d deadlines left", n)
			}
			rows := f.outbox(id)
			if last := rows[len(rows)-1]; o.State.Ended() && last != (row{"order.snapshots", "OrderSnapshot", o.Version}) {
				t.Errorf("the last row is %v, not the snapshot of version %d", last, o.Version)
			}
		})
	}
}

// TestRedelivery: a repeated event changes nothing, even without an inbox.
func TestRedelivery(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.place(cart()).ID
	for range 2 {
		mustReceive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
	}
	if n := f.count(`SELECT count(*) FROM events WHERE stream_id = $1`, id); n != 4 {
		t.Errorf("%d events, want 4", n)
	}
	if n := len(f.outbox(id)); n != 4 { // OrderCreated, OrderPlaced, OrderConfirmed and the snapshot of version 4
		t.Errorf("%d outbox rows, want 4", n)
	}
}

func TestCausationIsCarriedOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.place(cart()).ID
	e := delivered(events.PaymentFailed{OrderID: id, Reason: "insufficient_funds"})
	e.CorrelationID, e.TraceParent = "corr-1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if err := deliver(f, app.OnPaymentFailed, e); err != nil {
		t.Fatal(err)
	}
	n := f.count(`SELECT count(*) FROM outbox WHERE aggregate_id = $1 AND ce_correlationid = 'corr-1' AND ce_causationid = $2`, id, e.ID.String())
	if n != 2 { // OrderCancelled and OrderSnapshot
		t.Errorf("%d rows carry the cause", n)
	}
	n = f.count(`SELECT count(*) FROM outbox WHERE aggregate_id = $1 AND ce_causationid = $2
		AND traceparent ~ '^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$' AND traceparent <> $3`, id, e.ID.String(), e.TraceParent)
	if n != 2 {
		t.Errorf("%d rows are children of the cause in its trace", n)
	}
	if n := f.count(`SELECT count(*) FROM events WHERE stream_id = $1 AND metadata->>'causationId' = $2`, id, e.ID.String()); n != 1 {
		t.Errorf("%d stored events carry the cause", n)
	}
}

func TestUnknownOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := uuid.NewString()
	if err := receive(f, app.OnPaymentFailed, events.PaymentFailed{OrderID: id}); errs.KindOf(err) != errs.Hopeless {
		t.Errorf("event about an unknown order: %v", err)
	}
	if _, err := f.cancel(id, ""); errs.KindOf(err) != errs.NotFound {
		t.Errorf("cancel: %v", err)
	}
	if _, err := f.app.GetOrder(context.Background(), id); errs.KindOf(err) != errs.NotFound {
		t.Errorf("get: %v", err)
	}
	if _, err := f.app.GetOrderEvents(context.Background(), id, 0, 100); errs.KindOf(err) != errs.NotFound {
		t.Errorf("events: %v", err)
	}
}

func TestCancelOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.place(cart()).ID
	for range 2 {
		if o, err := f.cancel(id, "changed my mind"); err != nil || o.State != order.Cancelling {
			t.Fatalf("%s, %v", o.State, err)
		}
	}
	mustReceive(f, app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
	if o, err := f.cancel(id, ""); err != nil || o.State != order.Cancelled {
		t.Errorf("cancelled already: %s, %v", o.State, err)
	}

	shipped := f.place(cart()).ID
	mustReceive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: shipped, TrackingID: "T1"})
	if _, err := f.cancel(shipped, ""); errs.KindOf(err) != errs.Conflict {
		t.Errorf("shipped: %v", err)
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	soon := cart()
	soon.ConfirmWithin = time.Second
	late, confirmed, patient := f.place(soon).ID, f.place(soon).ID, f.place(cart()).ID
	mustReceive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: confirmed, TrackingID: "T1"})

	pass := func(want int) {
		t.Helper()
		if n, err := f.app.PassDeadlines(context.Background()); n != want || err != nil {
			t.Fatalf("%d due, %v; want %d", n, err, want)
		}
	}
	f.advance(time.Second - time.Microsecond)
	pass(0)
	f.advance(time.Microsecond)
	pass(1)
	pass(0)
	for id, want := range map[string]order.State{late: order.Cancelling, confirmed: order.Confirmed, patient: order.Pending} {
		if o := f.get(id); o.State != want {
			t.Errorf("%s, want %s", o.State, want)
		}
	}
	if diff := cmp.Diff([]string{"OrderCreated@3", "OrderCancellationRequested@4"}, f.published(late)); diff != "" {
		t.Error(diff)
	}
	if o := f.get(late); o.Cancellation.Reason != order.ReasonDeadline {
		t.Errorf("requested for %v", o.Cancellation)
	}
}

// TestDeadlineRowWithoutNeed: the row of an order that has moved on passes once and is removed.
func TestDeadlineRowWithoutNeed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.place(cart()).ID
	mustReceive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
	f.exec(`INSERT INTO saga_deadlines VALUES ('` + id + `', '2020-01-01')`)
	if n, err := f.app.PassDeadlines(context.Background()); n != 1 || err != nil {
		t.Fatalf("%d due, %v", n, err)
	}
	if n := f.count(`SELECT count(*) FROM saga_deadlines`); n != 0 || f.get(id).State != order.Confirmed {
		t.Errorf("%d rows left, order %s", n, f.get(id).State)
	}
}

// TestOneBadDeadlineDelaysNoOther: an order that cannot be loaded is reported, and all others are
// processed.
func TestOneBadDeadlineDelaysNoOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.place(app.PlaceOrder{ConfirmWithin: time.Second, Customer: cart().Customer, ShippingAddress: cart().ShippingAddress,
		Items: cart().Items, TotalAmount: 9999, Currency: "GBP"}).ID
	f.exec(`INSERT INTO saga_deadlines VALUES ('` + uuid.NewString() + `', '2020-01-01')`)
	f.advance(time.Second)
	n, err := f.app.PassDeadlines(context.Background())
	if n != 2 || errs.KindOf(err) != errs.NotFound {
		t.Errorf("%d due, %v", n, err)
	}
	if o := f.get(id); o.State != order.Cancelling {
		t.Errorf("%s", o.State)
	}
}

func TestRunDeadlinesEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.app.RunDeadlines(ctx) }()
	cancel(errors.New("stop"))
	if err := <-done; err != nil {
		t.Error(err)
	}
}
