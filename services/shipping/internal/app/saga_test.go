package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/carrier/carriertest"
	"eventshop.example/services/shipping/shipping"
)

const (
	scheduled  = "ShipmentScheduled"
	failed     = "ShipmentFailed"
	dispatched = "ShipmentDispatched"
	delivered  = "ShipmentDelivered"
	cancelled  = "ShipmentCancelled"
	rejected   = "ShipmentCancellationRejected"
)

func TestScheduledInEitherOrderOfArrival(t *testing.T) {
	want := []event.Event{&events.ShipmentScheduled{
		OrderID: orderID, ShipmentID: "shp-1", TrackingID: "T1", Carrier: "test-express", OccurredAt: noon,
	}}
	check := func(f *fixture) {
		f.t.Helper()
		if diff := cmp.Diff(want, f.emitted()); diff != "" {
			f.t.Fatalf("emitted (-want +got):\n%s", diff)
		}
		s, err := f.app.Shipment(f.t.Context(), orderID)
		if err != nil {
			f.t.Fatal(err)
		}
		full := Shipment{
			OrderID: orderID, State: shipping.Scheduled, Saga: event.Choreographed, Version: 1, Carrier: "test-express", ShipmentID: "shp-1", TrackingID: "T1",
			Address:   &carrier.Address{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA", Country: "GB"},
			Items:     []carrier.Item{{SKU: "WIDGET-01", Quantity: 2}, {SKU: "GADGET-05", Quantity: 1}},
			CreatedAt: noon, UpdatedAt: noon,
		}
		if diff := cmp.Diff(full, s); diff != "" {
			f.t.Fatalf("shipment (-want +got):\n%s", diff)
		}
		if got := f.carrier.Status(Key(orderID)); got != "scheduled" {
			f.t.Fatalf("carrier has %q", got)
		}
	}
	t.Run("address first", func(t *testing.T) {
		f := newFixture(t)
		f.do(f.orderCreated)
		f.want(shipping.AwaitingReservation)
		f.do(f.inventoryReserved)
		check(f)
	})
	t.Run("reservation first", func(t *testing.T) {
		f := newFixture(t)
		f.do(f.inventoryReserved)
		f.want(shipping.AwaitingAddress)
		f.do(f.orderCreated)
		check(f)
	})
	t.Run("each twice", func(t *testing.T) {
		f := newFixture(t)
		f.do(f.orderCreated, f.orderCreated, f.inventoryReserved, f.inventoryReserved, f.orderCreated)
		check(f)
	})
}

func TestRefusedAddress(t *testing.T) {
	f := newFixture(t)
	f.carrier.Switch(carriertest.Switches{Refuse: "address_not_served"})
	f.do(f.orderCreated, f.inventoryReserved, f.inventoryReserved, f.cancellationRequested)
	f.want(shipping.Failed, failed)
	want := []event.Event{&events.ShipmentFailed{OrderID: orderID, Reason: "address_not_served", Detail: "not there", OccurredAt: noon}}
	if diff := cmp.Diff(want, f.emitted()); diff != "" {
		t.Fatalf("emitted (-want +got):\n%s", diff)
	}
}

func TestLostAnswers(t *testing.T) {
	t.Run("schedule", func(t *testing.T) {
		f := newFixture(t)
		f.do(f.orderCreated)
		f.carrier.Switch(carriertest.Switches{AnswerLost: 1})
		f.do(f.inventoryReserved)
		f.want(shipping.Scheduled, scheduled)
	})
	t.Run("cancel", func(t *testing.T) {
		f := newFixture(t)
		f.do(f.orderCreated, f.inventoryReserved)
		f.carrier.Switch(carriertest.Switches{AnswerLost: 1})
		f.do(f.cancellationRequested)
		f.want(shipping.Cancelled, scheduled, cancelled)
	})
}

func TestCarrierDownChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated)
	f.carrier.Switch(carriertest.Switches{Down: true})
	wantTransient(t, f.inventoryReserved())
	wantTransient(t, f.cancellationRequested())
	wantTransient(t, f.track())
	f.want(shipping.AwaitingReservation)
	f.carrier.Switch(carriertest.Switches{})
	f.do(f.inventoryReserved)
	f.want(shipping.Scheduled, scheduled)
}

func TestCancelBeforeAnything(t *testing.T) {
	f := newFixture(t)
	f.do(f.cancellationRequested)
	f.want(shipping.Cancelled, cancelled)
	if got := f.carrier.Status(Key(orderID)); got != "cancelled" {
		t.Fatalf("carrier has %q, want a tombstone", got)
	}
	f.do(f.orderCreated, f.inventoryReserved, f.cancellationRequested)
	f.want(shipping.Cancelled, cancelled)
	want := []event.Event{&events.ShipmentCancelled{OrderID: orderID, Reason: "customer", OccurredAt: noon}}
	if diff := cmp.Diff(want, f.emitted()); diff != "" {
		t.Fatalf("emitted (-want +got):\n%s", diff)
	}
	for _, r := range f.carrier.Requests() {
		if r == "POST /v1/shipments" {
			t.Fatal("the carrier was asked to ship for a cancelled order")
		}
	}
}

func TestCancelWhileWaiting(t *testing.T) {
	for name, first := range map[string]func(*fixture) error{
		"for the reservation": (*fixture).orderCreated,
		"for the address":     (*fixture).inventoryReserved,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.do(func() error { return first(f) }, f.cancellationRequested, f.orderCreated, f.inventoryReserved)
			f.want(shipping.Cancelled, cancelled)
		})
	}
}

func TestCancelScheduled(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved, f.cancellationRequested, f.cancellationRequested)
	f.want(shipping.Cancelled, scheduled, cancelled)
	if got := f.carrier.Status(Key(orderID)); got != "cancelled" {
		t.Fatalf("carrier has %q", got)
	}
	if row := f.row(); row.Reason != "customer" || row.Detail != "changed my mind" {
		t.Fatalf("row = %+v", row)
	}
}

// TestCancelTooLate: the parcel has left and the feed has not been read, so the cancellation is the
// first to find out. The dispatch is emitted once, before the rejection.
func TestCancelTooLate(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	left := noon.Add(-time.Minute)
	f.carrier.Dispatch(t, Key(orderID), left)
	f.do(f.cancellationRequested)
	f.want(shipping.Dispatched, scheduled, dispatched, rejected)
	f.do(f.track)
	f.want(shipping.Dispatched, scheduled, dispatched, rejected)
	f.carrier.Deliver(t, Key(orderID), noon)
	f.do(f.track, f.cancellationRequested)
	f.want(shipping.Delivered, scheduled, dispatched, rejected, delivered, rejected)
	want := []event.Event{
		&events.ShipmentScheduled{OrderID: orderID, ShipmentID: "shp-1", TrackingID: "T1", Carrier: "test-express", OccurredAt: noon},
		&events.ShipmentDispatched{OrderID: orderID, ShipmentID: "shp-1", TrackingID: "T1", DispatchedAt: left, OccurredAt: noon},
		&events.ShipmentCancellationRejected{OrderID: orderID, ShipmentID: "shp-1", Reason: "dispatched", OccurredAt: noon},
		&events.ShipmentDelivered{OrderID: orderID, ShipmentID: "shp-1", DeliveredAt: noon, OccurredAt: noon},
		&events.ShipmentCancellationRejected{OrderID: orderID, ShipmentID: "shp-1", Reason: "delivered", OccurredAt: noon},
	}
	if diff := cmp.Diff(want, f.emitted()); diff != "" {
		t.Fatalf("emitted (-want +got):\n%s", diff)
	}
}

func TestCancelAfterTheFeedHadTheDispatch(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.do(f.track, f.cancellationRequested)
	f.want(shipping.Dispatched, scheduled, dispatched, rejected)
}

func TestAbandoned(t *testing.T) {
	paymentFailed := func(f *fixture) error {
		e := wrapped(events.PaymentFailed{OrderID: orderID, Reason: "insufficient_funds", OccurredAt: noon})
		return f.inTx(func(tx pgx.Tx) error { return react(f, tx, OnPaymentFailed, e) })
	}
	outOfStock := func(f *fixture) error {
		e := wrapped(events.InventoryReservationFailed{OrderID: orderID, Reason: "out_of_stock", OccurredAt: noon})
		return f.inTx(func(tx pgx.Tx) error { return react(f, tx, OnInventoryReservationFailed, e) })
	}
	for name, c := range map[string]struct {
		event  func(*fixture) error
		reason string
	}{"declined": {paymentFailed, "payment_failed"}, "out of stock": {outOfStock, "out_of_stock"}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			abandon := func() error { return c.event(f) }
			f.do(abandon, f.orderCreated, abandon, f.cancellationRequested)
			f.want(shipping.Cancelled)
			if got := f.row().Reason; got != c.reason {
				t.Fatalf("reason = %q, want %q", got, c.reason)
			}
			if got := f.carrier.Requests(); len(got) != 0 {
				t.Fatalf("the carrier was asked: %v", got)
			}
		})
	}
}

// TestBothHalvesAtOnce: two replicas handle one order, one with the address and one with the
// reservation. Neither saw the other's row before its transaction. The one that commits second must
// not forget to schedule.
func TestBothHalvesAtOnce(t *testing.T) {
	f := newFixture(t)
	created := orderCreatedEvent()
	answer, err := askFor(f, OnOrderCreated, created)
	if err != nil || answer != (carrier.Answer{}) {
		t.Fatalf("call = %+v, %v; nothing is to be asked yet", answer, err)
	}
	f.do(f.inventoryReserved)
	wantTransient(t, f.inTx(func(tx pgx.Tx) error { return react(f, tx, OnOrderCreated, created, answer) }))
	f.want(shipping.AwaitingAddress)
	f.do(f.orderCreated)
	f.want(shipping.Scheduled, scheduled)
}

// TestScheduleAndCancelAtOnce: two replicas handle one order, and one schedules while the other
// cancels. Whichever reaches the carrier first, and whichever commits first, nothing leaves and the
// saga ends.
func TestScheduleAndCancelAtOnce(t *testing.T) {
	type replica struct {
		call   func() error
		commit func() error
	}
	start := func(t *testing.T) (f *fixture, schedule, cancel replica) {
		f = newFixture(t)
		f.do(f.orderCreated)
		reserved, request := inventoryReservedEvent(), cancellationRequestedEvent()
		var toSchedule, toCancel carrier.Answer
		schedule = replica{
			call: func() (err error) {
				toSchedule, err = askFor(f, OnInventoryReserved, reserved)
				return err
			},
			commit: func() error {
				return f.inTx(func(tx pgx.Tx) error { return react(f, tx, OnInventoryReserved, reserved, toSchedule) })
			},
		}
		cancel = replica{
			call: func() (err error) {
				toCancel, err = askFor(f, OnOrderCancellationRequested, request)
				return err
			},
			commit: func() error {
				return f.inTx(func(tx pgx.Tx) error {
					return react(f, tx, OnOrderCancellationRequested, request, toCancel)
				})
			},
		}
		return f, schedule, cancel
	}
	t.Run("scheduled, cancelled; schedule commits first", func(t *testing.T) {
		f, schedule, cancel := start(t)
		f.do(schedule.call, cancel.call, schedule.commit, cancel.commit)
		f.want(shipping.Cancelled, scheduled, cancelled)
	})
	t.Run("scheduled, cancelled; cancel commits first", func(t *testing.T) {
		f, schedule, cancel := start(t)
		f.do(schedule.call, cancel.call, cancel.commit, schedule.commit)
		f.want(shipping.Cancelled, cancelled)
	})
	t.Run("cancelled, stopped; schedule commits first", func(t *testing.T) {
		f, schedule, cancel := start(t)
		f.do(cancel.call, schedule.call, schedule.commit, cancel.commit)
		f.want(shipping.Cancelled, cancelled)
	})
	t.Run("cancelled, stopped; cancel commits first", func(t *testing.T) {
		f, schedule, cancel := start(t)
		f.do(cancel.call, schedule.call, cancel.commit, schedule.commit)
		f.want(shipping.Cancelled, cancelled)
	})
}

// TestStoppedAtTheCarrierOnly: the process that cancelled died before it recorded that, and the
// reservation arrives first after the restart.
func TestStoppedAtTheCarrierOnly(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated)
	if _, err := askFor(f, OnOrderCancellationRequested, cancellationRequestedEvent()); err != nil {
		t.Fatal(err)
	}
	f.do(f.inventoryReserved)
	f.want(shipping.Cancelled, cancelled)
	if got := f.row().Reason; got != "shipment_failed" {
		t.Fatalf("reason = %q", got)
	}
	f.do(f.cancellationRequested)
	f.want(shipping.Cancelled, cancelled)
}

func TestUnknownOrder(t *testing.T) {
	f := newFixture(t)
	if _, err := f.app.Shipment(t.Context(), orderID); errs.KindOf(err) != errs.NotFound {
		t.Fatalf("Shipment = %v, want kind not found", err)
	}
}

// TestWhatCannotBeEmittedIsNotRecorded: the registry is unavailable before the schemas are
// registered, so nothing may be recorded that could not be emitted.
func TestWhatCannotBeEmittedIsNotRecorded(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated)
	f.registry.SetDown(true)
	wantTransient(t, f.inventoryReserved())
	f.want(shipping.AwaitingReservation)
	f.registry.SetDown(false)
	f.do(f.inventoryReserved)
	f.want(shipping.Scheduled, scheduled)
}
