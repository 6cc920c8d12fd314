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
	"eventshop.example/services/order/internal/order"
)

func TestPlaceOrder(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	o := k.place(cart())

	if id, err := uuid.Parse(o.ID); err != nil || id.Version() != 7 {
		t.Errorf("order id %q is no UUIDv7", o.ID)
	}
	if o.Status != order.Pending || o.Version != 3 || !o.ConfirmBy.Equal(k.time().Add(5*time.Minute)) {
		t.Errorf("placed %+v", o)
	}
	if diff := cmp.Diff(o, k.get(o.ID)); diff != "" {
		t.Errorf("stored otherwise than answered: %s", diff)
	}
	want := []row{
		{events.TopicOrderEvents, "OrderCreated", 3},
		{"order.notifications", "OrderPlaced", 3},
		{"order.snapshots", "OrderSnapshot", 3},
	}
	if diff := cmp.Diff(want, k.outbox(o.ID)); diff != "" {
		t.Errorf("outbox: %s", diff)
	}
	if n := k.count(`SELECT count(*) FROM outbox WHERE ce_correlationid = $1 AND ce_source = '/eventshop/order' AND traceparent <> ''`, o.ID); n != 3 {
		t.Errorf("%d of 3 outbox rows carry correlation, source and trace", n)
	}
	if n := k.count(`SELECT count(*) FROM saga_deadlines WHERE order_id = $1 AND due_at = $2`, o.ID, o.ConfirmBy); n != 1 {
		t.Errorf("%d deadlines", n)
	}

	recorded, err := k.app.GetOrderEvents(context.Background(), o.ID)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i, r := range recorded {
		names = append(names, r.Event.Name())
		if r.Version != int64(i+1) || r.RecordedAt.IsZero() {
			t.Errorf("event %d has version %d, time %s", i, r.Version, r.RecordedAt)
		}
	}
	if diff := cmp.Diff([]string{"OrderCreated", "ItemAdded", "ItemAdded"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestPlaceOrderWithItsOwnDeadline(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	p := cart()
	p.ConfirmWithin = 3 * time.Second
	if o := k.place(p); !o.ConfirmBy.Equal(k.time().Add(3 * time.Second)) {
		t.Errorf("confirm by %s", o.ConfirmBy)
	}
}

// TestNothingRemains: what is refused or rolled back has written nothing.
func TestNothingRemains(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	bad := cart()
	bad.TotalAmount++
	err := k.tx(func(tx pgx.Tx) error {
		_, err := k.app.PlaceOrder(context.Background(), tx, bad)
		return err
	})
	if errs.KindOf(err) != errs.Invalid {
		t.Errorf("wrong total: %v", err)
	}
	crash := errors.New("crash before the commit")
	err = k.tx(func(tx pgx.Tx) error {
		if _, err := k.app.PlaceOrder(context.Background(), tx, cart()); err != nil {
			return err
		}
		return crash
	})
	if !errors.Is(err, crash) {
		t.Errorf("rolled back with %v", err)
	}
	for _, table := range []string{"events", "outbox", "saga_deadlines", "snapshots"} {
		if n := k.count(`SELECT count(*) FROM ` + table); n != 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
}

func TestGetOrderAt(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	o := k.place(cart())
	tell(k, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: o.ID, TrackingID: "T1"})

	for version, want := range map[int64]struct {
		status order.Status
		items  int
	}{1: {order.Pending, 0}, 2: {order.Pending, 1}, 3: {order.Pending, 2}, 4: {order.Confirmed, 2}} {
		got, err := k.app.GetOrderAt(context.Background(), o.ID, version)
		if err != nil || got.Status != want.status || len(got.Items) != want.items || got.Version != version {
			t.Errorf("version %d: %+v, %v", version, got, err)
		}
	}
	if _, err := k.app.GetOrderAt(context.Background(), o.ID, 5); errs.KindOf(err) != errs.NotFound {
		t.Errorf("version 5 of 4: %v", err)
	}
	if _, err := k.app.GetOrderAt(context.Background(), uuid.NewString(), 1); errs.KindOf(err) != errs.NotFound {
		t.Errorf("unknown order: %v", err)
	}
}

// TestSnapshots: they are taken when due, used when loading, and no more than a
// shortcut.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	k := newKit(t) // a snapshot every 4 events
	o := k.place(cart())
	if n := k.count(`SELECT count(*) FROM snapshots`); n != 0 {
		t.Fatalf("%d snapshots after 3 events", n)
	}
	tell(k, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: o.ID, TrackingID: "T1"})
	if n := k.count(`SELECT count(*) FROM snapshots WHERE stream_id = $1 AND version = 4`, o.ID); n != 1 {
		t.Fatalf("no snapshot at version 4")
	}
	tell(k, k.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: o.ID, TrackingID: "T1"})

	withIt := k.get(o.ID)
	k.exec(`UPDATE snapshots SET state = jsonb_set(state, '{order,customer,name}', '"from the snapshot"')`)
	if got := k.get(o.ID); got.Customer.Name != "from the snapshot" || got.Status != order.Shipped {
		t.Errorf("the snapshot is not used: %+v", got)
	}
	k.exec(`UPDATE snapshots SET state = jsonb_set(state, '{format}', '0')`)
	if diff := cmp.Diff(withIt, k.get(o.ID)); diff != "" {
		t.Errorf("snapshot of another format: %s", diff)
	}
	k.exec(`DELETE FROM snapshots`)
	if diff := cmp.Diff(withIt, k.get(o.ID)); diff != "" {
		t.Errorf("without snapshot: %s", diff)
	}
}

func (k *kit) exec(query string) {
	k.t.Helper()
	if _, err := k.pool.Exec(context.Background(), query); err != nil {
		k.t.Fatal(err)
	}
}
