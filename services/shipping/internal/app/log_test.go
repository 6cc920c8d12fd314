package app

import (
	"testing"
	"time"

	"eventshop.example/pkg/telemetry/telemetrytest"
	"eventshop.example/services/shipping/shipping"
)

func TestOneLinePerOrder(t *testing.T) {
	for name, tt := range map[string]struct {
		road func(f *fixture)
		want telemetrytest.Line
	}{
		"delivered": {
			func(f *fixture) {
				f.do(f.orderCreated, f.inventoryReserved)
				f.carrier.Dispatch(f.t, Key(orderID), noon)
				f.carrier.Deliver(f.t, Key(orderID), noon.Add(time.Hour))
				f.do(f.track, f.inventoryReserved, f.orderCreated)
				f.want(shipping.Delivered, scheduled, dispatched, delivered)
			},
			telemetrytest.Line{"msg": "shipment ended", "service": "shipping", "status": "DELIVERED", "cause": "ParcelDelivered", "event": "ShipmentDelivered"},
		},
		"called off": {
			func(f *fixture) {
				f.do(f.orderCreated, f.inventoryReserved, f.cancellationRequested, f.cancellationRequested)
			},
			telemetrytest.Line{"msg": "shipment ended", "status": "CANCELLED", "reason": "customer", "event": "ShipmentCancelled"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, log := newFixture(t), &telemetrytest.Log{Subject: "orderId"}
			f.app = f.newAppBehind(patient(), log.Logger("shipping"))
			tt.road(f)
			log.OneLine(t, orderID, tt.want)
		})
	}
}

// TestWhatIsRolledBackIsNotLogged: a page of the feed failed as a whole and was applied line by
// line. INFO has each end once.
func TestWhatIsRolledBackIsNotLogged(t *testing.T) {
	f, log := newFixture(t), &telemetrytest.Log{Subject: "orderId"}
	f.app = f.newAppBehind(patient(), log.Logger("shipping"))
	f.do(f.orderCreated, f.inventoryReserved)
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.carrier.Deliver(t, Key(orderID), noon.Add(time.Hour))
	f.carrier.Foreign(Key(otherOrder), otherOrder, "dispatched")
	if _, err := f.pool.Exec(t.Context(), "ALTER TABLE shipments ADD CHECK (order_id <> '"+otherOrder+"')"); err != nil {
		t.Fatal(err)
	}
	f.do(f.track)
	log.OneLine(t, orderID, telemetrytest.Line{"status": "DELIVERED"})
	if lines := log.About(t, otherOrder, "ERROR"); len(lines) != 1 {
		t.Errorf("the line that was passed over: %v", lines)
	}
}
