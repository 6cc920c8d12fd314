package app

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/shipping"
)

// TestAnotherParcelWithOurOrderID: the carrier identifies parcels by key. A parcel of another
// sender that carries the id of an order of this shop changes nothing here.
func TestAnotherParcelWithOurOrderID(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	for _, key := range []string{"another-shop-" + orderID, orderID, Key(otherOrder), Key(orderID) + "-2", ""} {
		f.carrier.Foreign(key, orderID, "dispatched")
		f.carrier.Foreign(key, orderID, "delivered")
	}
	f.carrier.Foreign(Key(orderID), otherOrder, "dispatched") // and our key with another's order
	f.do(f.track)
	f.want(shipping.Scheduled, scheduled)
	if got := f.cursor(); got != 11 {
		t.Errorf("cursor = %d, want 11", got)
	}
	if diff := cmp.Diff(map[string]float64{"foreign": 11}, f.skipped()); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	// Nor does it replace the shop's own parcel.
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.do(f.track)
	f.want(shipping.Dispatched, scheduled, dispatched)
	if row := f.row(); row.TrackingID != "T1" || row.ShipmentID != "shp-1" {
		t.Errorf("row = %+v", row)
	}
}

// TestOnlyTheLinesOwnFaultPassesItOver: every other failure would affect every line.
func TestOnlyTheLinesOwnFaultPassesItOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"invalid":         {errs.New(errs.Invalid, "x"), true},
		"invalid, within": {fmt.Errorf("update 7: %w", errs.New(errs.Invalid, "x")), true},
		"check violation": {postgres.Classify(&pgconn.PgError{Code: "23514"}), true},
		"transient":       {errs.New(errs.Transient, "x"), false},
		"conflict":        {errs.New(errs.Conflict, "x"), false},
		"not found":       {errs.New(errs.NotFound, "x"), false},
		"internal":        {errs.New(errs.Internal, "x"), false},
		"hopeless":        {errs.New(errs.Hopeless, "x"), false},
		"unclassified":    {errors.New("x"), false},
		"a bug in SQL":    {postgres.Classify(&pgconn.PgError{Code: "42601"}), false},
		"unique":          {postgres.Classify(&pgconn.PgError{Code: "23505"}), false},
		"a lock":          {postgres.Classify(&pgconn.PgError{Code: "55P03"}), false},
		"overtaken":       {errOvertaken, false},
	} {
		if got := lineAtFault(t.Context(), c.err); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if lineAtFault(ended, errs.New(errs.Invalid, "x")) {
		t.Error("a process that ends blames the line")
	}
}

// TestALineWaitsForWhatIsNotItsFault: on the database. No line is skipped, and the line is applied
// when the cause is fixed.
func TestALineWaitsForWhatIsNotItsFault(t *testing.T) {
	for name, c := range map[string]struct{ breakIt, mend string }{
		"a program's bug": {
			`CREATE FUNCTION bug() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a bug'; END $$;
			 CREATE TRIGGER bug BEFORE UPDATE ON shipments FOR EACH ROW EXECUTE FUNCTION bug()`,
			`DROP TRIGGER bug ON shipments`,
		},
		"a table is away":     {`ALTER TABLE shipments RENAME TO gone`, `ALTER TABLE gone RENAME TO shipments`},
		"somebody was faster": {`CREATE UNIQUE INDEX one_state ON shipments ((state <> 'X'))`, `DROP INDEX one_state`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.do(f.orderCreated, f.inventoryReserved)
			f.carrier.Dispatch(t, Key(orderID), noon)
			line := orderID
			if name == "somebody was faster" { // a second row breaks the index
				line = otherOrder
				f.carrier.Foreign(Key(otherOrder), otherOrder, "dispatched")
			}
			exec := func(sql string) {
				t.Helper()
				if _, err := f.pool.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			exec(c.breakIt)
			for range 2 {
				if err := f.track(); err == nil {
					t.Fatal("applied")
				}
			}
			if got := f.cursor(); got != 0 {
				t.Errorf("cursor = %d: a line was passed over", got)
			}
			if got := f.skipped(); len(got) != 0 {
				t.Errorf("passed over: %v", got)
			}
			exec(c.mend)
			f.do(f.track)
			var state string
			if err := f.pool.QueryRow(t.Context(), `SELECT state FROM shipments WHERE order_id = $1`, line).Scan(&state); err != nil || state != string(shipping.Dispatched) {
				t.Errorf("order %s is %q, %v", line, state, err)
			}
		})
	}
}

// TestEveryLineBehindABadOneIsApplied: a page that fails as a whole is applied line by line, and
// the cursor moves with each line.
func TestEveryLineBehindABadOneIsApplied(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	if _, err := f.pool.Exec(t.Context(), "ALTER TABLE shipments ADD CHECK (order_id <> '"+otherOrder+"')"); err != nil {
		t.Fatal(err)
	}
	f.carrier.Dispatch(t, Key(orderID), noon)
	f.carrier.Foreign(Key(otherOrder), otherOrder, "dispatched")
	f.carrier.Deliver(t, Key(orderID), noon.Add(time.Hour))
	f.do(f.track)
	f.want(shipping.Delivered, scheduled, dispatched, delivered)
	if got := f.cursor(); got != 3 {
		t.Errorf("cursor = %d, want 3", got)
	}
}

// TestTheCursorIsTakenInTurn: a replica that has read the same page waits for the replica that
// applies it. It then finds that the cursor has moved.
func TestTheCursorIsTakenInTurn(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	f.carrier.Dispatch(t, Key(orderID), noon)
	read, err := f.app.carrier.Updates(t.Context(), 0, trackBatch)
	if err != nil {
		t.Fatal(err)
	}
	step, ours := f.app.tracked(t.Context(), read[0])
	if !ours || len(read) != 1 {
		t.Fatalf("%+v is not an update of ours", read)
	}
	apply := func(tx pgx.Tx) error {
		_, err := f.app.applyWithin(t.Context(), tx, 0, read[0].Seq, []reaction.Step[Input]{step})
		return err
	}
	f.do(func() error {
		return f.inTx(func(tx pgx.Tx) error {
			if err := apply(tx); err != nil {
				return err
			}
			// The worker's wait for a lock is bounded, so the second replica cannot apply
			// meanwhile.
			err := f.inTx(apply)
			if errs.KindOf(err) != errs.Transient || errors.Is(err, errOvertaken) {
				return fmt.Errorf("a second replica got in: %w", err)
			}
			return nil
		})
	})
	f.want(shipping.Dispatched, scheduled, dispatched)
}

// TestAFullPageIsFollowedAtOnce: a feed that is behind is read without a pause between full pages.
func TestAFullPageIsFollowedAtOnce(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	for range 2 * trackBatch {
		f.carrier.Foreign("another-shop-1", "1", "dispatched")
	}
	f.carrier.Dispatch(t, Key(orderID), noon)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.app.Track(ctx, time.Hour) }()
	eventually(t, func() bool { return f.row().State == string(shipping.Dispatched) })
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("Track = %v", err)
	}
}

// TestTwoEventsOfAnOrderQueue: a cancellation that arrives while the schedule is being recorded
// waits at the order's row, which the other transaction has locked but not changed yet. The fixture
// checks the order of the emitted versions.
func TestTwoEventsOfAnOrderQueue(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated)
	reserved, request := inventoryReservedEvent(), cancellationRequestedEvent()
	toSchedule, err := askFor(f, OnInventoryReserved, reserved)
	if err != nil {
		t.Fatal(err)
	}
	toCancel, err := askFor(f, OnOrderCancellationRequested, request)
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	f.do(func() error {
		return f.inTx(func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `SELECT FROM shipments WHERE order_id = $1 FOR UPDATE`, orderID); err != nil {
				return err
			}
			go func() {
				second <- f.inTx(func(tx pgx.Tx) error {
					return react(f, tx, OnOrderCancellationRequested, request, toCancel)
				})
			}()
			f.awaitBlocked()
			return react(f, tx, OnInventoryReserved, reserved, toSchedule)
		})
	})
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	f.want(shipping.Cancelled, scheduled, cancelled)
}

// awaitBlocked returns when a session of this database waits for a lock of another session.
func (f *fixture) awaitBlocked() {
	f.t.Helper()
	eventually(f.t, func() bool {
		var blocked bool
		err := f.pool.QueryRow(f.t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid IN
			(SELECT pid FROM pg_stat_activity WHERE datname = current_database()))`).Scan(&blocked)
		return err == nil && blocked
	})
}

// TestTheParcelGoesToTheCustomersAddress: whichever event comes second, the carrier receives the
// whole address and all items.
func TestTheParcelGoesToTheCustomersAddress(t *testing.T) {
	want := carrier.Request{
		OrderID: orderID, CustomerID: "cust-7",
		Address: carrier.Address{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA", Country: "GB"},
		Items:   []carrier.Item{{SKU: "WIDGET-01", Quantity: 2}, {SKU: "GADGET-05", Quantity: 1}},
	}
	for name, deliveries := range map[string]func(f *fixture) []func() error{
		"address first":     func(f *fixture) []func() error { return []func() error{f.orderCreated, f.inventoryReserved} },
		"reservation first": func(f *fixture) []func() error { return []func() error{f.inventoryReserved, f.orderCreated} },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.do(deliveries(f)...)
			// The same key with another request would be refused as reused.
			answer, err := f.app.carrier.Schedule(t.Context(), Key(orderID), want)
			if err != nil || answer.Outcome != carrier.Accepted || answer.ShipmentID != "shp-1" {
				t.Errorf("the carrier took another request: %+v, %v", answer, err)
			}
		})
	}
}

// TestTheKeyComesFromTheOrder: events that are repeated after a crash book no second parcel.
func TestTheKeyComesFromTheOrder(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated)
	for range 3 { // three events of one order, each with its own id
		answer, err := askFor(f, OnInventoryReserved, inventoryReservedEvent())
		if err != nil || answer.ShipmentID != "shp-1" {
			t.Fatalf("answer = %+v, %v", answer, err)
		}
	}
	f.do(f.inventoryReserved)
	f.want(shipping.Scheduled, scheduled)
}

// TestADeliveredParcelIsNotCancelled: the carrier has delivered, and the row does not show it yet.
func TestADeliveredParcelIsNotCancelled(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated, f.inventoryReserved)
	left := noon.Add(-time.Hour)
	f.carrier.Dispatch(t, Key(orderID), left)
	f.carrier.Deliver(t, Key(orderID), noon)
	f.do(f.cancellationRequested)
	f.want(shipping.Dispatched, scheduled, dispatched, rejected)
	f.do(f.track)
	f.want(shipping.Delivered, scheduled, dispatched, rejected, delivered)
	if row := f.row(); !row.DispatchedAt.Equal(left) || !row.DeliveredAt.Equal(noon) {
		t.Errorf("times = %v, %v", row.DispatchedAt, row.DeliveredAt)
	}
}

// TestALateOrderCreatedIsKept: the tombstone refuses to ship, and the row stores the order's data.
func TestALateOrderCreatedIsKept(t *testing.T) {
	f := newFixture(t)
	f.do(f.cancellationRequested, f.orderCreated)
	f.want(shipping.Cancelled, cancelled)
	s, err := f.app.Shipment(t.Context(), orderID)
	if err != nil || s.Address == nil || s.Address.City != "London" || len(s.Items) != 2 || f.row().CustomerID != "cust-7" {
		t.Errorf("shipment = %+v, %v", s, err)
	}
}

// TestStoppedAtTheCarrierEmitsTheReason of the saga's vocabulary, because no service has cancelled.
func TestStoppedAtTheCarrierEmitsTheReason(t *testing.T) {
	f := newFixture(t)
	f.do(f.orderCreated)
	if _, err := f.app.carrier.Cancel(t.Context(), Key(orderID), orderID, "by hand"); err != nil {
		t.Fatal(err)
	}
	f.do(f.inventoryReserved)
	want := []event.Event{&events.ShipmentCancelled{OrderID: orderID, Reason: "shipment_failed", OccurredAt: noon}}
	if diff := cmp.Diff(want, f.emitted()); diff != "" {
		t.Errorf("emitted (-want +got):\n%s", diff)
	}
}
