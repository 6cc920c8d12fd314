package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/carrier/carriertest"
	"eventshop.example/services/shipping/internal/shipping"
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
	want := []events.Event{&events.ShipmentScheduled{
		OrderID: orderID, ShipmentID: "shp-1", TrackingID: "T1", Carrier: "test-express", OccurredAt: noon,
	}}
	check := func(f *fixture) {
		f.t.Helper()
		if diff := cmp.Diff(want, f.told()); diff != "" {
			f.t.Fatalf("told (-want +got):\n%s", diff)
		}
		s, err := f.app.Shipment(f.t.Context(), orderID)
		if err != nil {
			f.t.Fatal(err)
		}
		full := Shipment{
			OrderID: orderID, State: shipping.Scheduled, Version: 1, Carrier: "test-express", ShipmentID: "shp-1", TrackingID: "T1",
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
	want := []events.Event{&events.ShipmentFailed{OrderID: orderID, Reason: "address_not_served", Detail: "not there", OccurredAt: noon}}
	if diff := cmp.Diff(want, f.told()); diff != "" {
		t.Fatalf("told (-want +got):\n%s", diff)
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
	want := []events.Event{&events.ShipmentCancelled{OrderID: orderID, Reason: "customer", OccurredAt: noon}}
	if diff := cmp.Diff(want, f.told()); diff != "" {
		t.Fatalf("told (-want +got):\n%s", diff)
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

// The parcel has left, the feed has not been read: the cancellation is the first to hear
// of it. It tells the dispatch, once, and before the rejection.
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
	want := []events.Event{
		&events.ShipmentScheduled{OrderID: orderID, ShipmentID: "shp-1", TrackingID: "T1", Carrier: "test-express", OccurredAt: noon},
		&events.ShipmentDispatched{OrderID: orderID, ShipmentID: "shp-1", TrackingID: "T1", DispatchedAt: left, OccurredAt: noon},
		&events.ShipmentCancellationRejected{OrderID: orderID, ShipmentID: "shp-1", Reason: "dispatched", OccurredAt: noon},
		&events.ShipmentDelivered{OrderID: orderID, ShipmentID: "shp-1", DeliveredAt: noon, OccurredAt: noon},
		&events.ShipmentCancellationRejected{OrderID: orderID, ShipmentID: "shp-1", Reason: "delivered", OccurredAt: noon},
	}
	if diff := cmp.Diff(want, f.told()); diff != "" {
		t.Fatalf("told (-want +got):\n%s", diff)
	}
}

func TestCancelAfterTheFeedToldOfTheDispatch(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.do(f.track, f.cancellationRequested)
	f.want(shipping.Dispatched, scheduled, dispatched, rejected)
}

func TestAbandoned(t *testing.T) {
	paymentFailed := func(f *fixture) error {
		e := event(events.PaymentFailed{OrderID: orderID, Reason: "insufficient_funds", OccurredAt: noon})
		return f.inTx(func(tx pgx.Tx) error { return f.app.OnPaymentFailed(f.t.Context(), tx, e) })
	}
	outOfStock := func(f *fixture) error {
		e := event(events.InventoryReservationFailed{OrderID: orderID, Reason: "out_of_stock", OccurredAt: noon})
		return f.inTx(func(tx pgx.Tx) error { return f.app.OnInventoryReservationFailed(f.t.Context(), tx, e) })
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

// Two replicas at one order: the address goes through one, the reservation through the
// other, and neither saw the other's row when it looked. The one that commits second
// must not forget to schedule.
func TestBothHalvesAtOnce(t *testing.T) {
	f := newFixture(t)
	created := orderCreatedEvent()
	answer, err := f.app.AskOnOrderCreated(t.Context(), created)
	if err != nil || answer != (carrier.Answer{}) {
		t.Fatalf("call = %+v, %v; nothing is to be asked yet", answer, err)
	}
	f.do(f.inventoryReserved)
	wantTransient(t, f.inTx(func(tx pgx.Tx) error { return f.app.OnOrderCreated(t.Context(), tx, created, answer) }))
	f.want(shipping.AwaitingAddress)
	f.do(f.orderCreated)
	f.want(shipping.Scheduled, scheduled)
}

// Two replicas at one order: one schedules while the other cancels. Whoever of them was
// first at the carrier, and whoever commits first, nothing leaves and the saga ends.
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
				toSchedule, err = f.app.AskOnInventoryReserved(t.Context(), reserved)
				return err
			},
			commit: func() error {
				return f.inTx(func(tx pgx.Tx) error { return f.app.OnInventoryReserved(t.Context(), tx, reserved, toSchedule) })
			},
		}
		cancel = replica{
			call: func() (err error) {
				toCancel, err = f.app.AskOnOrderCancellationRequested(t.Context(), request)
				return err
			},
			commit: func() error {
				return f.inTx(func(tx pgx.Tx) error {
					return f.app.OnOrderCancellationRequested(t.Context(), tx, request, toCancel)
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

// The process that cancelled died before it could record it, and the reservation comes
// first after the restart.
func TestStoppedAtTheCarrierOnly(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated)
	if _, err := f.app.AskOnOrderCancellationRequested(t.Context(), cancellationRequestedEvent()); err != nil {
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

// The registry is down before the schemas were registered: nothing may be recorded that
// could not be told.
func TestWhatCannotBeToldIsNotRecorded(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated)
	f.registry.SetDown(true)
	wantTransient(t, f.inventoryReserved())
	f.want(shipping.AwaitingReservation)
	f.registry.SetDown(false)
	f.do(f.inventoryReserved)
	f.want(shipping.Scheduled, scheduled)
}
