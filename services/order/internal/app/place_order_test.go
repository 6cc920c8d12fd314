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
	"eventshop.example/pkg/eventstore"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/order"
)

func TestPlaceOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	o := f.place(cart())

	if id, err := uuid.Parse(o.ID); err != nil || id.Version() != 7 {
		t.Errorf("order id %q is no UUIDv7", o.ID)
	}
	if o.State != order.Pending || o.Version != 3 || !o.ConfirmBy.Equal(f.time().Add(5*time.Minute)) {
		t.Errorf("placed %+v", o)
	}
	if diff := cmp.Diff(o, f.get(o.ID)); diff != "" {
		t.Errorf("stored otherwise than answered: %s", diff)
	}
	want := []row{
		{events.TopicOrderEvents, "OrderCreated", 3},
		{"order.notifications", "OrderPlaced", 3},
	}
	if diff := cmp.Diff(want, f.outbox(o.ID)); diff != "" {
		t.Errorf("outbox: %s", diff)
	}
	if n := f.count(`SELECT count(*) FROM outbox WHERE ce_correlationid = $1 AND ce_source = '/eventshop/order' AND traceparent <> ''`, o.ID); n != 2 {
		t.Errorf("%d of 2 outbox rows carry correlation, source and trace", n)
	}
	if n := f.count(`SELECT count(*) FROM saga_deadlines WHERE order_id = $1 AND due_at = $2`, o.ID, o.ConfirmBy); n != 1 {
		t.Errorf("%d deadlines", n)
	}

	history, err := f.app.GetOrderEvents(context.Background(), o.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i, r := range history.Events {
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
	f := newFixture(t)
	p := cart()
	p.ConfirmWithin = 3 * time.Second
	if o := f.place(p); !o.ConfirmBy.Equal(f.time().Add(3 * time.Second)) {
		t.Errorf("confirm by %s", o.ConfirmBy)
	}
}

// TestNothingRemains: a refused or rolled-back order has written nothing.
func TestNothingRemains(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	bad := cart()
	bad.TotalAmount++
	err := f.tx(func(tx pgx.Tx) error {
		_, _, err := f.app.PlaceOrder(context.Background(), tx, bad)
		return err
	})
	if errs.KindOf(err) != errs.Invalid {
		t.Errorf("wrong total: %v", err)
	}
	crash := errors.New("crash before the commit")
	err = f.tx(func(tx pgx.Tx) error {
		if _, _, err := f.app.PlaceOrder(context.Background(), tx, cart()); err != nil {
			return err
		}
		return crash
	})
	if !errors.Is(err, crash) {
		t.Errorf("rolled back with %v", err)
	}
	for _, table := range []string{"events", "outbox", "saga_deadlines", "stream_snapshots"} {
		if n := f.count(`SELECT count(*) FROM ` + table); n != 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
}

func TestGetOrderAt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	o := f.place(cart())
	mustReceive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: o.ID, TrackingID: "T1"})

	for version, want := range map[int64]struct {
		status order.State
		items  int
	}{1: {order.Pending, 0}, 2: {order.Pending, 1}, 3: {order.Pending, 2}, 4: {order.Confirmed, 2}} {
		got, err := f.app.GetOrderAt(context.Background(), o.ID, version)
		if err != nil || got.State != want.status || len(got.Items) != want.items || got.Version != version {
			t.Errorf("version %d: %+v, %v", version, got, err)
		}
	}
	if _, err := f.app.GetOrderAt(context.Background(), o.ID, 5); errs.KindOf(err) != errs.NotFound {
		t.Errorf("version 5 of 4: %v", err)
	}
	if _, err := f.app.GetOrderAt(context.Background(), uuid.NewString(), 1); errs.KindOf(err) != errs.NotFound {
		t.Errorf("unknown order: %v", err)
	}
}

// TestSnapshots: snapshots are taken when due, after the commit, and used when loading. They only save
// time: one that is damaged, of another format or of the release before changes no order, and is
// written again.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	f := newFixture(t) // a snapshot every 4 events
	o := f.place(cart())
	f.writeSnapshots()
	if n := f.count(`SELECT count(*) FROM stream_snapshots`); n != 0 {
		t.Fatalf("%d snapshots after 3 events", n)
	}
	mustReceive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: o.ID, TrackingID: "T1"})
	if n := f.count(`SELECT count(*) FROM stream_snapshots`); n != 0 {
		t.Fatal("the transaction of the event wrote a snapshot")
	}
	f.writeSnapshots()
	at4 := `SELECT count(*) FROM stream_snapshots WHERE stream_id = $1 AND version = 4`
	if n := f.count(at4, o.ID); n != 1 {
		t.Fatal("no snapshot at version 4")
	}
	mustReceive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: o.ID, TrackingID: "T1"})

	want := f.get(o.ID)
	forged := want.Fold()
	forged.Version, forged.State, forged.Customer.Name = 4, order.Confirmed, "from the snapshot"
	f.putSnapshot(forged)
	if got := f.get(o.ID); got.Customer.Name != "from the snapshot" || got.State != order.Shipped {
		t.Errorf("the snapshot is not used: %+v", got)
	}
	for name, damage := range map[string]string{
		"damaged":        `UPDATE stream_snapshots SET state = replace(state::text, 'from the snapshot', 'another')::json`,
		"another format": `UPDATE stream_snapshots SET format = format + 1`,
		"removed":        `DELETE FROM stream_snapshots`,
		"of the release before": `WITH gone AS (DELETE FROM stream_snapshots RETURNING *)
			INSERT INTO snapshots (stream_id, version, state) SELECT stream_id, version, json_build_object('format', 1, 'order', state) FROM gone`,
	} {
		f.putSnapshot(forged)
		f.exec(damage)
		if diff := cmp.Diff(want, f.get(o.ID)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		f.writeSnapshots()
		if n := f.count(at4, o.ID); n < 1 {
			t.Errorf("%s: the snapshot is not written again", name)
		}
		if diff := cmp.Diff(want, f.get(o.ID)); diff != "" {
			t.Errorf("%s, and written again: %s", name, diff)
		}
	}
	forged.ID = uuid.NewString() // of another order, with a checksum that is right
	state, err := forged.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	err = eventstore.SaveSnapshots(t.Context(), f.pool, eventstore.Snapshot{StreamID: o.ID, Version: 4, Format: order.SnapshotFormat, State: state})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, f.get(o.ID)); diff != "" {
		t.Errorf("of another order: %s", diff)
	}
}

// writeSnapshots writes the snapshots that are due, as RunSnapshots does.
func (f *fixture) writeSnapshots() {
	f.t.Helper()
	if err := f.app.FlushSnapshots(context.Background()); err != nil {
		f.t.Fatal(err)
	}
}

// putSnapshot stores a snapshot whose checksum is right, as the only one.
func (f *fixture) putSnapshot(o order.Order) {
	f.t.Helper()
	state, err := o.Snapshot()
	if err == nil {
		_, err = f.pool.Exec(context.Background(), `DELETE FROM stream_snapshots`)
	}
	if err == nil {
		err = eventstore.SaveSnapshots(context.Background(), f.pool,
			eventstore.Snapshot{StreamID: o.ID, Version: o.Version, Format: order.SnapshotFormat, State: state})
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) exec(query string) {
	f.t.Helper()
	if _, err := f.pool.Exec(context.Background(), query); err != nil {
		f.t.Fatal(err)
	}
}
