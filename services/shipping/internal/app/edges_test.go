package app

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/carrier/carriertest"
	"eventshop.example/services/shipping/shipping"
)

const otherOrder = "01936f2e-7a10-7cc3-9d5e-0242ac12ffff"

// TestRefusalAfterALostAnswer: the carrier took the parcel, the process died before it recorded
// that, and the carrier refuses the next request without checking the key.
func TestRefusalAfterALostAnswer(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated)
	if _, err := askFor(f, OnInventoryReserved, inventoryReservedEvent()); err != nil {
		t.Fatal(err)
	}
	f.carrier.Switch(carriertest.Switches{Status: 400}) // the lookup by key is refused too
	wantTransient(t, f.inventoryReserved())
	f.want(shipping.AwaitingReservation)
	f.carrier.Switch(carriertest.Switches{Schedule: 400})
	f.do(f.inventoryReserved)
	f.want(shipping.Scheduled, scheduled)
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.do(f.track)
	f.want(shipping.Dispatched, scheduled, dispatched)
}

func TestRefusalWithoutARecord(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated)
	f.carrier.Switch(carriertest.Switches{Schedule: 400})
	f.do(f.inventoryReserved)
	f.want(shipping.Failed, failed)
	if got := f.carrier.Status(Key(orderID)); got != "cancelled" {
		t.Fatalf("carrier has %q; the order has failed, so nothing may leave", got)
	}
	if row := f.row(); row.Reason != "bad_request" || row.Detail != "not like that" {
		t.Fatalf("row = %+v", row)
	}
}

// TestRefusalClosedButNotRecorded: the process dies after it closed the key and before it recorded
// that.
func TestRefusalClosedButNotRecorded(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated)
	f.carrier.Switch(carriertest.Switches{Schedule: 400})
	if _, err := askFor(f, OnInventoryReserved, inventoryReservedEvent()); err != nil {
		t.Fatal(err)
	}
	f.carrier.Switch(carriertest.Switches{})
	f.do(f.inventoryReserved)
	f.want(shipping.Cancelled, cancelled)
}

func TestCarrierThatLetsNobodyIn(t *testing.T) {
	for _, status := range []int{401, 403, 429} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			f := newFixture(t)
			f.do(f.orderCreated)
			f.carrier.Switch(carriertest.Switches{Status: status})
			wantTransient(t, f.inventoryReserved())
			wantTransient(t, f.cancellationRequested())
			wantTransient(t, f.track())
			f.want(shipping.AwaitingReservation)
		})
	}
}

func TestForeignWordsThatNoColumnTakes(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated)
	f.carrier.Switch(carriertest.Switches{Refuse: "no\x00pe" + strings.Repeat("x", 1<<20)})
	f.do(f.inventoryReserved)
	f.want(shipping.Failed, failed)
	if got := f.row().Reason; !strings.HasPrefix(got, "no\uFFFDpex") || len(got) > 128 {
		t.Fatalf("reason of %d bytes: %.20q", len(got), got)
	}
}

// skipped returns the number of lines of the feed without effect, by reason.
func (f *fixture) skipped() map[string]float64 {
	f.t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(f.app.metrics.feedSkipped)
	families, err := reg.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			counts[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	return counts
}

// TestBadLinesOfTheFeed: lines that cannot belong to this service do not delay the parcel after
// them.
func TestBadLinesOfTheFeed(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	f.carrier.Foreign(Key("x\x00"), "x\x00", "dispatched")
	f.carrier.Foreign(Key(orderID)+"\x00", orderID+"\x00", "dispatched")
	f.carrier.Foreign(Key("17"), "17", "dispatched")
	f.carrier.Foreign(Key(strings.ToUpper(orderID)), strings.ToUpper(orderID), "dispatched")
	f.carrier.Foreign(Key(strings.Repeat("9", 1<<16)), strings.Repeat("9", 1<<16), "dispatched")
	f.carrier.Foreign(Key(orderID), orderID, "dispatched")
	f.carrier.Spoil("at", "yesterday")
	f.carrier.Foreign(Key(orderID), orderID, "in_customs")
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.carrier.Spoil("trackingId", "T\x00")
	f.do(f.track)
	f.want(shipping.Dispatched, scheduled, dispatched)
	if got := f.cursor(); got != 8 {
		t.Fatalf("cursor = %d, want 8", got)
	}
	if diff := cmp.Diff(map[string]float64{"foreign": 6, "status": 1}, f.skipped()); diff != "" {
		t.Fatalf("skipped (-want +got):\n%s", diff)
	}
	var rows int
	if err := f.pool.QueryRow(t.Context(), "SELECT count(*) FROM shipments").Scan(&rows); err != nil || rows != 1 {
		t.Fatalf("%d shipments, %v; want 1", rows, err)
	}
}

// TestLineThatFailsIsPassedOver: a valid line that cannot be applied is skipped, and no other line
// is.
func TestLineThatFailsIsPassedOver(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	if _, err := f.pool.Exec(t.Context(), "ALTER TABLE shipments ADD CHECK (order_id <> '"+otherOrder+"')"); err != nil {
		t.Fatal(err)
	}
	f.carrier.Foreign(Key(otherOrder), otherOrder, "dispatched")
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.carrier.Foreign(Key(otherOrder), otherOrder, "delivered")
	f.do(f.track, f.track)
	f.want(shipping.Dispatched, scheduled, dispatched)
	if got := f.cursor(); got != 3 {
		t.Fatalf("cursor = %d, want 3", got)
	}
	if diff := cmp.Diff(map[string]float64{"failed": 2}, f.skipped()); diff != "" {
		t.Fatalf("skipped (-want +got):\n%s", diff)
	}
}

// TestLineBehindABadOneWaitsForTheRegistry: a line that is reached while the registry is
// unavailable is not skipped, even after a bad line.
func TestLineBehindABadOneWaitsForTheRegistry(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	if _, err := f.pool.Exec(t.Context(), "ALTER TABLE shipments ADD CHECK (order_id <> '"+otherOrder+"')"); err != nil {
		t.Fatal(err)
	}
	f.carrier.Foreign(Key(otherOrder), otherOrder, "dispatched")
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.registry.SetDown(true)
	wantTransient(t, f.track())
	f.want(shipping.Scheduled, scheduled)
	if got := f.cursor(); got != 1 {
		t.Fatalf("cursor = %d, want 1", got)
	}
	f.registry.SetDown(false)
	f.do(f.track)
	f.want(shipping.Dispatched, scheduled, dispatched)
}

// TestOvertakenReplicaLeavesTheCursor: another replica has applied more than this one has read. The
// updates change no shipment again, but the cursor must not move back to their end.
func TestOvertakenReplicaLeavesTheCursor(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	f.carrier.Dispatch(t, Key(orderID), noon)
	read, err := f.app.carrier.Updates(t.Context(), 0, trackBatch)
	if err != nil {
		t.Fatal(err)
	}
	f.carrier.Deliver(t, Key(orderID), noon)
	f.do(f.track)
	err = f.app.applyAtOnce(t.Context(), 0, read)
	if !errors.Is(err, errOvertaken) {
		t.Fatalf("applyAtOnce = %v, want errOvertaken", err)
	}
	if err := f.app.applySingly(t.Context(), 0, read); !errors.Is(err, errOvertaken) {
		t.Fatalf("applySingly = %v, want errOvertaken", err)
	}
	if got := f.cursor(); got != 2 {
		t.Fatalf("cursor = %d, want 2", got)
	}
	f.want(shipping.Delivered, scheduled, dispatched, delivered)
}

// TestCalledOffParcelLeaves: a parcel leaves although it was called off. The dispatch is emitted
// once, with the carrier's time, however often the feed reports it and whichever line comes first.
func TestCalledOffParcelLeaves(t *testing.T) {
	left, arrived := noon.Add(time.Minute), noon.Add(time.Hour)
	for name, c := range map[string]struct {
		callOff func(*fixture)
		state   shipping.State
		emitted []string
		parcel  events.ShipmentDispatched
	}{
		"failed": {func(f *fixture) {
			f.carrier.Switch(carriertest.Switches{Refuse: "address_not_served"})
			f.do(f.orderCreated, f.inventoryReserved)
		}, shipping.Failed, []string{failed}, events.ShipmentDispatched{ShipmentID: "shp-stray", TrackingID: "T-stray"}},
		"cancelled": {func(f *fixture) {
			f.do(f.orderCreated, f.inventoryReserved, f.cancellationRequested)
		}, shipping.Cancelled, []string{scheduled, cancelled}, events.ShipmentDispatched{ShipmentID: "shp-1", TrackingID: "T1"}},
		"cancelled before anything": {func(f *fixture) {
			f.do(f.cancellationRequested)
		}, shipping.Cancelled, []string{cancelled}, events.ShipmentDispatched{ShipmentID: "shp-stray", TrackingID: "T-stray"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			c.callOff(f)
			before := f.row()
			f.carrier.Stray(t, Key(orderID), left)
			f.carrier.Repeat()
			f.do(f.track)
			emitted := append(c.emitted, dispatched)
			f.want(c.state, emitted...)
			f.carrier.Deliver(t, Key(orderID), arrived)
			f.carrier.Repeat()
			f.do(f.track, f.inventoryReserved, f.orderCreated, f.cancellationRequested)
			f.want(c.state, emitted...)

			c.parcel.OrderID, c.parcel.DispatchedAt, c.parcel.OccurredAt = orderID, left, noon
			all := f.emitted()
			if diff := cmp.Diff(event.Event(&c.parcel), all[len(all)-1]); diff != "" {
				t.Fatalf("emitted (-want +got):\n%s", diff)
			}
			row := f.row()
			if row.Reason != before.Reason || row.Detail != before.Detail || !row.DispatchedAt.Equal(left) || row.DeliveredAt != nil {
				t.Fatalf("row = %+v, before %+v", row, before)
			}
		})
	}
	t.Run("arrival comes first", func(t *testing.T) {
		f := newFixture(t)
		f.do(f.orderCreated, f.inventoryReserved, f.cancellationRequested)
		f.carrier.Foreign(Key(orderID), orderID, "delivered")
		f.carrier.Repeat()
		f.do(f.track)
		f.want(shipping.Cancelled, scheduled, cancelled, dispatched)
	})
}
