package app_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/order"
)

// TestEveryWriterAtOnce makes HTTP, the deadline worker and the consumer change one order at the same
// time, repeatedly. None conflicts, none deadlocks, the stream has no gap, and the outbox rows are
// in version order.
func TestEveryWriterAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	soon := cart()
	soon.ConfirmWithin = time.Second
	for round := range 20 {
		id := f.place(soon).ID
		f.advance(time.Second) // the deadline is due
		var all sync.WaitGroup
		for _, act := range []func() error{
			func() error { _, err := f.cancel(id, ""); return err },
			func() error { _, err := f.cancel(id, ""); return err },
			func() error { _, err := f.app.PassDeadlines(context.Background()); return err },
			func() error {
				return receive(f, app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: id, Reason: "out_of_stock"})
			},
			func() error {
				return receive(f, app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "out_of_stock"})
			},
		} {
			all.Go(func() {
				if err := act(); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		all.Wait()
		if o := f.get(id); o.State != order.Cancelled {
			t.Errorf("round %d: %s", round, o.State)
		}
		inVersionOrder(f, id)
	}
}

func inVersionOrder(f *fixture, id string) {
	f.t.Helper()
	last := int64(0)
	for _, r := range f.outbox(id) {
		if r.Version < last {
			f.t.Errorf("%s of version %d stands behind version %d", r.Type, r.Version, last)
		}
		last = r.Version
	}
	if n := f.count(`SELECT count(*) FROM events WHERE stream_id = $1`, id); int64(n) != last {
		f.t.Errorf("stream of %d events, last version %d", n, last)
	}
}

// TestCancelMeetsConfirm fixes the interleaving: the confirmation has appended but not committed
// when the customer cancels. The cancellation waits, decides after the confirmation, and comes
// second in the outbox as well.
func TestCancelMeetsConfirm(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.place(cart()).ID
	cancelled := make(chan error, 1)
	err := f.tx(func(tx pgx.Tx) error {
		e := delivered(events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
		if _, err := react(f, tx, app.OnShipmentScheduled, e); err != nil {
			return err
		}
		go func() {
			_, err := f.cancel(id, "changed my mind")
			cancelled <- err
		}()
		f.awaitBlocked()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-cancelled; err != nil {
		t.Fatal(err)
	}
	want := "[OrderCreated@3 OrderConfirmed@4 OrderCancellationRequested@5]"
	if got := fmt.Sprint(f.published(id)); got != want {
		t.Errorf("published %s, want %s", got, want)
	}
	inVersionOrder(f, id)
}

// TestFactMeetsCancel is the opposite interleaving: the fact waits and is decided in the state that
// the cancellation left.
func TestFactMeetsCancel(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.place(cart()).ID
	second := make(chan error, 1)
	err := f.tx(func(tx pgx.Tx) error {
		if _, _, _, err := f.app.CancelOrder(context.Background(), tx, id, ""); err != nil {
			return err
		}
		go func() {
			second <- receive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
		}()
		f.awaitBlocked()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Errorf("the fact after the cancellation: %v", err)
	}
	if o := f.get(id); o.State != order.Cancelling || o.Version != 4 {
		t.Errorf("%s at version %d", o.State, o.Version)
	}
}

// TestLoserAgainstAnEarlierRelease: a program of an earlier release appends without locking the
// stream. A step that loses against it writes nothing, is Transient, and succeeds when repeated.
func TestLoserAgainstAnEarlierRelease(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.place(cart()).ID
	requested, err := order.Encode(order.OrderFulfilmentFailed{Reason: order.ReasonCustomer})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		step func() error
	}{ // in this order: the fact appends nothing to an order that is being cancelled
		{"fact", func() error {
			return receive(f, app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
		}},
		{"cancel", func() error { _, err := f.cancel(id, ""); return err }},
	} {
		name, step := tc.name, tc.step
		version := f.get(id).Version
		rows := len(f.outbox(id))
		lost := make(chan error, 1)
		err := f.tx(func(tx pgx.Tx) error {
			news := []eventstore.NewRecord{{Type: "OrderFulfilmentFailed", Data: requested}}
			if _, err := eventstore.Append(context.Background(), tx, id, version, news); err != nil {
				return err
			}
			go func() { lost <- step() }()
			f.awaitBlocked()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-lost; errs.KindOf(err) != errs.Transient || !errors.Is(err, reaction.ErrOvertaken) {
			t.Errorf("%s lost the race with %v", name, err)
		}
		if o := f.get(id); o.State == order.Cancelling && name == "fact" || o.Version != version+1 || len(f.outbox(id)) != rows {
			t.Errorf("%s: %s at version %d, %d outbox rows; want version %d, %d rows", name, o.State, o.Version, len(f.outbox(id)), version+1, rows)
		}
		if err := step(); err != nil {
			t.Errorf("%s again: %v", name, err)
		}
	}
	if n := f.count(`SELECT max(seq) - min(seq) + 1 - count(*) FROM outbox`); n != 0 {
		t.Errorf("%d sequence numbers were drawn for nothing", n)
	}
}

// awaitBlocked returns when a session of this database waits for a lock of another session.
func (f *fixture) awaitBlocked() {
	f.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		if f.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0 {
			return
		}
		<-tick.C
	}
	f.t.Error("no session waits for the lock")
}
