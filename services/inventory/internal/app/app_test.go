package app_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/inventory/internal/app"
)

func TestReservesWhicheverComesFirst(t *testing.T) {
	for _, first := range []string{"items", "payment"} {
		t.Run(first+" first", func(t *testing.T) {
			f := newFixture(t, map[string]int64{"A": 5, "B": 1})
			order := created("o-1", events.OrderItem{SKU: "A", Quantity: 2}, events.OrderItem{SKU: "B", Quantity: 1})
			if first == "items" {
				f.must(receive(f, app.OnOrderCreated, order))
				f.must(receive(f, app.OnPaymentCompleted, paid("o-1")))
			} else {
				f.must(receive(f, app.OnPaymentCompleted, paid("o-1")))
				f.must(receive(f, app.OnOrderCreated, order))
			}
			if diff := cmp.Diff([]string{"InventoryReserved 1"}, f.emitted("o-1")); diff != "" {
				t.Errorf("outbox (-want +got):\n%s", diff)
			}
			if f.counts("A") != "3/2/0" || f.counts("B") != "0/1/0" {
				t.Errorf("A %s, B %s", f.counts("A"), f.counts("B"))
			}
			f.must(receive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: "o-1", DispatchedAt: time.Now(), OccurredAt: time.Now()}))
			if f.counts("A") != "3/0/2" {
				t.Errorf("after dispatch A %s", f.counts("A"))
			}
		})
	}
}

func TestRejectsAllOrNothing(t *testing.T) {
	f := newFixture(t, map[string]int64{"A": 5, "B": 1})
	f.must(receive(f, app.OnOrderCreated, created("o-1", events.OrderItem{SKU: "A", Quantity: 2}, events.OrderItem{SKU: "B", Quantity: 2})))
	f.must(receive(f, app.OnPaymentCompleted, paid("o-1")))
	f.must(receive(f, app.OnOrderCreated, created("o-2", events.OrderItem{SKU: "NEVER", Quantity: 1})))
	f.must(receive(f, app.OnPaymentCompleted, paid("o-2")))
	for _, id := range []string{"o-1", "o-2"} {
		if diff := cmp.Diff([]string{"InventoryReservationFailed 1"}, f.emitted(id)); diff != "" {
			t.Errorf("outbox of %s (-want +got):\n%s", id, diff)
		}
	}
	if f.counts("A") != "5/0/0" || f.counts("B") != "1/0/0" {
		t.Errorf("something is held: A %s, B %s", f.counts("A"), f.counts("B"))
	}
}

func TestCompensationReleasesOrForbids(t *testing.T) {
	cancelled := events.ShipmentCancelled{OrderID: "o-1", Reason: "customer", OccurredAt: time.Now()}
	t.Run("after the reservation", func(t *testing.T) {
		f := newFixture(t, map[string]int64{"A": 5})
		f.must(receive(f, app.OnOrderCreated, created("o-1", events.OrderItem{SKU: "A", Quantity: 2})))
		f.must(receive(f, app.OnPaymentCompleted, paid("o-1")))
		f.must(receive(f, app.OnShipmentCancelled, cancelled))
		f.must(receive(f, app.OnShipmentCancelled, cancelled))
		if diff := cmp.Diff([]string{"InventoryReserved 1", "InventoryReleased 2"}, f.emitted("o-1")); diff != "" {
			t.Errorf("outbox (-want +got):\n%s", diff)
		}
		if f.counts("A") != "5/0/0" {
			t.Errorf("A %s", f.counts("A"))
		}
	})
	t.Run("before everything", func(t *testing.T) {
		f := newFixture(t, map[string]int64{"A": 5})
		f.must(receive(f, app.OnShipmentCancelled, cancelled))
		f.must(receive(f, app.OnPaymentCompleted, paid("o-1")))
		f.must(receive(f, app.OnOrderCreated, created("o-1", events.OrderItem{SKU: "A", Quantity: 2})))
		if got := f.emitted("o-1"); len(got) != 0 {
			t.Errorf("the tombstone let something through: %v", got)
		}
		if f.counts("A") != "5/0/0" {
			t.Errorf("A %s", f.counts("A"))
		}
	})
}

// TestManyOrdersOnFewPieces races orders for the same SKUs with opposite line orders. Exactly as
// many succeed as there are pieces, and none deadlocks.
func TestManyOrdersOnFewPieces(t *testing.T) {
	f := newFixture(t, map[string]int64{"A": 10, "B": 10})
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			id := fmt.Sprintf("o-%d", i)
			items := []events.OrderItem{{SKU: "A", Quantity: 1}, {SKU: "B", Quantity: 1}}
			if i%2 == 1 {
				items[0], items[1] = items[1], items[0]
			}
			for _, step := range []func() error{
				func() error { return receive(f, app.OnOrderCreated, created(id, items...)) },
				func() error { return receive(f, app.OnPaymentCompleted, paid(id)) },
			} {
				if err := step(); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			}
		})
	}
	wg.Wait()
	var reserved, failed int
	f.must(f.pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE event_type = 'InventoryReserved'),
		count(*) FILTER (WHERE event_type = 'InventoryReservationFailed') FROM outbox`).Scan(&reserved, &failed))
	if reserved != 10 || failed != 20 {
		t.Errorf("%d reserved and %d failed, want 10 and 20", reserved, failed)
	}
	if f.counts("A") != "0/10/0" || f.counts("B") != "0/10/0" {
		t.Errorf("A %s, B %s", f.counts("A"), f.counts("B"))
	}
}

func TestReceiptsAddUp(t *testing.T) {
	f := newFixture(t, map[string]int64{"A": 5})
	for range 3 {
		f.must(postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
			_, err := f.app.ReceiveStock(t.Context(), tx, "A", 4)
			return err
		}))
	}
	f.must(f.app.Seed(t.Context(), map[string]int64{"A": 99})) // stocked before: stays
	row, err := f.app.Stock(t.Context(), "A")
	f.must(err)
	if row.Available != 17 || row.Initial != 5 || row.Restocked != 12 {
		t.Errorf("%+v", row)
	}
}

// within runs one reaction in the caller's transaction.
func within[T event.Event](f eventsFixture, tx pgx.Tx, input func(consumer.Event[T]) app.Input, data T) error {
	e := eventOf(data)
	_, err := f.app.Reservations.Run(f.t.Context(), tx, f.app.Reservations.Step(data.AggregateKey(), input(e), e.Cause()))
	return err
}
