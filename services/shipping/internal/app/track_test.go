package app

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/services/shipping/internal/carrier/carriertest"
	"eventshop.example/services/shipping/shipping"
)

func TestTrackingEmitsDispatchAndDelivery(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved, f.track)
	f.want(shipping.Scheduled, scheduled)
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.do(f.track, f.track)
	f.want(shipping.Dispatched, scheduled, dispatched)
	arrived := noon.Add(time.Hour)
	f.carrier.Deliver(t, Key(orderID), arrived)
	f.do(f.track, f.track)
	f.want(shipping.Delivered, scheduled, dispatched, delivered)
	row := f.row()
	if !row.DispatchedAt.Equal(noon) || !row.DeliveredAt.Equal(arrived) {
		t.Fatalf("times = %v, %v", row.DispatchedAt, row.DeliveredAt)
	}
	if got := f.cursor(); got != 2 {
		t.Fatalf("cursor = %d", got)
	}
}

// TestFeedAheadOfTheRecordedSchedule: the carrier took the parcel and it has left, but the process
// died before it recorded the carrier's answer. The feed is applied at once, and the redelivered
// event is a duplicate.
func TestFeedAheadOfTheRecordedSchedule(t *testing.T) {
	for name, first := range map[string]func(*fixture){
		"address known": func(f *fixture) {
			f.do(f.orderCreated)
			if _, err := askFor(f, OnInventoryReserved, inventoryReservedEvent()); err != nil {
				f.t.Fatal(err)
			}
		},
		"reservation known": func(f *fixture) {
			f.do(f.inventoryReserved)
			if _, err := askFor(f, OnOrderCreated, orderCreatedEvent()); err != nil {
				f.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			first(f)
			f.carrier.Dispatch(t, Key(orderID), noon)
			f.do(f.track)
			f.want(shipping.Dispatched, scheduled, dispatched)
			if row := f.row(); row.TrackingID != "T1" || row.ShipmentID != "shp-1" || row.Carrier != "test-express" {
				t.Fatalf("row = %+v", row)
			}
			f.do(f.inventoryReserved, f.orderCreated)
			f.want(shipping.Dispatched, scheduled, dispatched)
			f.do(f.cancellationRequested)
			f.want(shipping.Dispatched, scheduled, dispatched, rejected)
		})
	}
}

// TestCancelAheadOfTheRecordedSchedule: the answer to the schedule request was lost, the parcel
// left, and the cancellation is the first to find out about both.
func TestCancelAheadOfTheRecordedSchedule(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated)
	if _, err := askFor(f, OnInventoryReserved, inventoryReservedEvent()); err != nil {
		t.Fatal(err)
	}
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.do(f.cancellationRequested, f.inventoryReserved, f.track)
	f.want(shipping.Dispatched, scheduled, dispatched, rejected)
}

func TestForeignUpdatesArePassedOver(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	f.carrier.Foreign("another-shop-1", "1", "dispatched")
	f.carrier.Foreign("shipment-", "", "dispatched")
	f.carrier.Foreign(Key(orderID), orderID, "in_customs")
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.do(f.track)
	f.want(shipping.Dispatched, scheduled, dispatched)
	if got := f.cursor(); got != 4 {
		t.Fatalf("cursor = %d, want 4", got)
	}
	var rows int
	if err := f.pool.QueryRow(t.Context(), "SELECT count(*) FROM shipments").Scan(&rows); err != nil || rows != 1 {
		t.Fatalf("%d shipments, %v; want 1", rows, err)
	}
}

// TestFailedUpdateHoldsTheCursor: the cursor moves with the updates or not at all.
func TestFailedUpdateHoldsTheCursor(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.registry.SetDown(true) // ShipmentDispatched has not been registered yet
	wantTransient(t, f.track())
	f.want(shipping.Scheduled, scheduled)
	if got := f.cursor(); got != 0 {
		t.Fatalf("cursor = %d, want 0", got)
	}
	f.registry.SetDown(false)
	f.do(f.track)
	f.want(shipping.Dispatched, scheduled, dispatched)
	if got := f.cursor(); got != 1 {
		t.Fatalf("cursor = %d, want 1", got)
	}
}

// TestTrackingGivesWayToTheConsumer: when the consumer has locked a row, the worker gives up after
// a bounded wait.
func TestTrackingGivesWayToTheConsumer(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.do(func() error {
		return f.inTx(func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "SELECT 1 FROM shipments FOR UPDATE"); err != nil {
				return err
			}
			wantTransient(t, f.track())
			return nil
		})
	})
	f.do(f.track)
	f.want(shipping.Dispatched, scheduled, dispatched)
}

func TestReplicasApplyEachUpdateOnce(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.carrier.Deliver(t, Key(orderID), noon)
	var replicas sync.WaitGroup
	for range 4 {
		app := f.newApp()
		replicas.Go(func() {
			// A lost race for a lock is no failure, because the other replica applies the updates.
			_, _ = app.TrackOnce(t.Context())
		})
	}
	replicas.Wait()
	f.want(shipping.Delivered, scheduled, dispatched, delivered)
}

func TestTrackFollowsTheFeedThroughAnOutage(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.app.Track(ctx, time.Millisecond) }()

	f.carrier.Dispatch(t, Key(orderID), noon)
	eventually(t, func() bool { return f.row().State == string(shipping.Dispatched) })
	f.carrier.Switch(carriertest.Switches{Status: 503})
	asked := len(f.carrier.Requests())
	f.carrier.Deliver(t, Key(orderID), noon)
	eventually(t, func() bool { return len(f.carrier.Requests()) > asked+1 })
	f.want(shipping.Dispatched, scheduled, dispatched)
	f.carrier.Switch(carriertest.Switches{})
	eventually(t, func() bool { return f.row().State == string(shipping.Delivered) })
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("Track = %v", err)
	}
	f.want(shipping.Delivered, scheduled, dispatched, delivered)
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("condition not met in 20 s")
		}
	}
}
