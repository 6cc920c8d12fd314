package app_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/internal/order"
)

// TestEverybodyAtOnce lets HTTP, the deadline worker and the consumer meet at one
// order, over and over: nobody deadlocks, the stream has no gap, and the outbox has
// its rows in version order.
func TestEverybodyAtOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	soon := cart()
	soon.ConfirmWithin = time.Second
	for round := range 20 {
		id := k.place(soon).ID
		k.advance(time.Second) // the deadline is due
		var all sync.WaitGroup
		for _, act := range []func() error{
			func() error { _, err := k.cancel(id, ""); return err },
			func() error { _, err := k.cancel(id, ""); return err },
			func() error { _, err := k.app.PassDeadlines(context.Background()); return err },
			// The consumer repeats a transaction that met another writer.
			func() error {
				return persist(func() error {
					return told(k, k.app.OnInventoryReservationFailed, events.InventoryReservationFailed{OrderID: id, Reason: "out_of_stock"})
				})
			},
			func() error {
				return persist(func() error {
					return told(k, k.app.OnPaymentRefunded, events.PaymentRefunded{OrderID: id, Reason: "out_of_stock"})
				})
			},
		} {
			all.Go(func() {
				if err := act(); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		all.Wait()
		if o := k.get(id); o.Status != order.Cancelled {
			t.Errorf("round %d: %s", round, o.Status)
		}
		inVersionOrder(k, id)
	}
}

// persist repeats what met another writer, as the consumer does. A deadlock is
// Transient too, but it must not happen, so it is not repeated.
func persist(act func() error) error {
	for range 50 {
		if err := act(); errs.KindOf(err) != errs.Conflict {
			return err
		}
	}
	return fmt.Errorf("always another writer was faster")
}

func inVersionOrder(k *kit, id string) {
	k.t.Helper()
	last := int64(0)
	for _, r := range k.outbox(id) {
		if r.Version < last {
			k.t.Errorf("%s of version %d stands behind version %d", r.Type, r.Version, last)
		}
		last = r.Version
	}
	if n := k.count(`SELECT count(*) FROM events WHERE stream_id = $1`, id); int64(n) != last {
		k.t.Errorf("stream of %d events, last version %d", n, last)
	}
}

// TestCancelMeetsConfirm fixes the interleaving: the confirmation has appended and
// not committed while the customer cancels. The cancellation waits, loses the race,
// decides anew on what it lost to, and comes second in the outbox as well.
func TestCancelMeetsConfirm(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.place(cart()).ID
	cancelled := make(chan error, 1)
	err := k.tx(func(tx pgx.Tx) error {
		e := event(events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
		if err := k.app.OnShipmentScheduled(context.Background(), tx, e); err != nil {
			return err
		}
		go func() {
			_, err := k.cancel(id, "changed my mind")
			cancelled <- err
		}()
		k.awaitBlocked()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-cancelled; err != nil {
		t.Fatal(err)
	}
	want := "[OrderCreated@3 OrderConfirmed@4 OrderCancellationRequested@5]"
	if got := fmt.Sprint(k.published(id)); got != want {
		t.Errorf("published %s, want %s", got, want)
	}
	inVersionOrder(k, id)
}

// TestLoserOfARaceIsAConflict: a reaction does not repeat by itself.
func TestLoserOfARaceIsAConflict(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	id := k.place(cart()).ID
	lost := make(chan error, 1)
	err := k.tx(func(tx pgx.Tx) error {
		if _, err := k.app.CancelOrder(context.Background(), tx, id, ""); err != nil {
			return err
		}
		go func() {
			lost <- told(k, k.app.OnShipmentScheduled, events.ShipmentScheduled{OrderID: id, TrackingID: "T1"})
		}()
		k.awaitBlocked()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-lost; errs.KindOf(err) != errs.Conflict {
		t.Errorf("lost the race with %v", err)
	}
	if o := k.get(id); o.Status != order.Cancelling || o.Version != 4 {
		t.Errorf("%s at version %d", o.Status, o.Version)
	}
}

// awaitBlocked returns when a session of this database waits for another's lock.
func (k *kit) awaitBlocked() {
	k.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		if k.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0 {
			return
		}
		<-tick.C
	}
	k.t.Error("nobody waits for the lock")
}
