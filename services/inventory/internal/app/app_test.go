package app_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/inventory"
	"eventshop.example/services/inventory/internal/app"
)

// shelf is inventory's use cases on a database of the test's own.
type shelf struct {
	t    *testing.T
	pool *pgxpool.Pool // of the service's role
	db   *pgtest.Separate
	app  *app.App

	codec *schema.Codec
}

func newShelf(t *testing.T, stock map[string]int64) *shelf {
	t.Helper()
	t.Parallel()
	db := pgtest.NewSeparate(t, inventory.Components()...)
	db.Migrate(t)
	s := &shelf{t: t, pool: db.App(t), db: db}
	codec := schematest.Start(t).Codec()
	if err := codec.Register(t.Context(), events.Catalogue()...); err != nil {
		t.Fatal(err)
	}
	s.codec = codec
	s.app = app.New(app.Config{Pool: s.pool, Outbox: outbox.New(codec, "/eventshop/inventory")})
	if err := s.app.Seed(t.Context(), stock); err != nil {
		t.Fatal(err)
	}
	return s
}

// hear runs one reaction in a transaction of its own.
func hear[T events.Event](s *shelf, handle func(context.Context, pgx.Tx, consumer.Event[T]) error, data T) error {
	e := consumer.Event[T]{Data: data}
	e.ID, e.CorrelationID = uuid.Must(uuid.NewV7()), data.AggregateKey()
	return postgres.InTx(s.t.Context(), s.pool, func(tx pgx.Tx) error { return handle(s.t.Context(), tx, e) })
}

func (s *shelf) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func created(id string, items ...events.OrderItem) events.OrderCreated {
	return events.OrderCreated{OrderID: id, Currency: "GBP", Items: items, ConfirmBy: time.Now(), OccurredAt: time.Now()}
}

func paid(id string) events.PaymentCompleted {
	return events.PaymentCompleted{OrderID: id, Currency: "GBP", OccurredAt: time.Now()}
}

// emitted lists what the outbox holds for an order: type and version.
func (s *shelf) emitted(id string) []string {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), `SELECT event_type || ' ' || ce_aggregateversion FROM outbox WHERE aggregate_id = $1 ORDER BY seq`, id)
	s.must(err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	s.must(err)
	return out
}

// counts is a SKU's pieces as "available/reserved/shipped".
func (s *shelf) counts(sku string) string {
	s.t.Helper()
	row, err := s.app.Stock(s.t.Context(), sku)
	s.must(err)
	return fmt.Sprintf("%d/%d/%d", row.Available, row.Reserved, row.Shipped)
}

func TestReservesWhicheverComesFirst(t *testing.T) {
	for _, first := range []string{"items", "payment"} {
		t.Run(first+" first", func(t *testing.T) {
			s := newShelf(t, map[string]int64{"A": 5, "B": 1})
			order := created("o-1", events.OrderItem{SKU: "A", Quantity: 2}, events.OrderItem{SKU: "B", Quantity: 1})
			if first == "items" {
				s.must(hear(s, s.app.OnOrderCreated, order))
				s.must(hear(s, s.app.OnPaymentCompleted, paid("o-1")))
			} else {
				s.must(hear(s, s.app.OnPaymentCompleted, paid("o-1")))
				s.must(hear(s, s.app.OnOrderCreated, order))
			}
			if diff := cmp.Diff([]string{"InventoryReserved 1"}, s.emitted("o-1")); diff != "" {
				t.Errorf("outbox (-want +got):\n%s", diff)
			}
			if s.counts("A") != "3/2/0" || s.counts("B") != "0/1/0" {
				t.Errorf("A %s, B %s", s.counts("A"), s.counts("B"))
			}
			s.must(hear(s, s.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: "o-1", DispatchedAt: time.Now(), OccurredAt: time.Now()}))
			if s.counts("A") != "3/0/2" {
				t.Errorf("after dispatch A %s", s.counts("A"))
			}
		})
	}
}

func TestRejectsAllOrNothing(t *testing.T) {
	s := newShelf(t, map[string]int64{"A": 5, "B": 1})
	s.must(hear(s, s.app.OnOrderCreated, created("o-1", events.OrderItem{SKU: "A", Quantity: 2}, events.OrderItem{SKU: "B", Quantity: 2})))
	s.must(hear(s, s.app.OnPaymentCompleted, paid("o-1")))
	s.must(hear(s, s.app.OnOrderCreated, created("o-2", events.OrderItem{SKU: "NEVER", Quantity: 1})))
	s.must(hear(s, s.app.OnPaymentCompleted, paid("o-2")))
	for _, id := range []string{"o-1", "o-2"} {
		if diff := cmp.Diff([]string{"InventoryReservationFailed 1"}, s.emitted(id)); diff != "" {
			t.Errorf("outbox of %s (-want +got):\n%s", id, diff)
		}
	}
	if s.counts("A") != "5/0/0" || s.counts("B") != "1/0/0" {
		t.Errorf("something is held: A %s, B %s", s.counts("A"), s.counts("B"))
	}
}

func TestCompensationReleasesOrForbids(t *testing.T) {
	cancelled := events.ShipmentCancelled{OrderID: "o-1", Reason: "customer", OccurredAt: time.Now()}
	t.Run("after the reservation", func(t *testing.T) {
		s := newShelf(t, map[string]int64{"A": 5})
		s.must(hear(s, s.app.OnOrderCreated, created("o-1", events.OrderItem{SKU: "A", Quantity: 2})))
		s.must(hear(s, s.app.OnPaymentCompleted, paid("o-1")))
		s.must(hear(s, s.app.OnShipmentCancelled, cancelled))
		s.must(hear(s, s.app.OnShipmentCancelled, cancelled))
		if diff := cmp.Diff([]string{"InventoryReserved 1", "InventoryReleased 2"}, s.emitted("o-1")); diff != "" {
			t.Errorf("outbox (-want +got):\n%s", diff)
		}
		if s.counts("A") != "5/0/0" {
			t.Errorf("A %s", s.counts("A"))
		}
	})
	t.Run("before everything", func(t *testing.T) {
		s := newShelf(t, map[string]int64{"A": 5})
		s.must(hear(s, s.app.OnShipmentCancelled, cancelled))
		s.must(hear(s, s.app.OnPaymentCompleted, paid("o-1")))
		s.must(hear(s, s.app.OnOrderCreated, created("o-1", events.OrderItem{SKU: "A", Quantity: 2})))
		if got := s.emitted("o-1"); len(got) != 0 {
			t.Errorf("the tombstone let something through: %v", got)
		}
		if s.counts("A") != "5/0/0" {
			t.Errorf("A %s", s.counts("A"))
		}
	})
}

// TestManyOrdersOnFewPieces races orders for the same SKUs in opposite line
// orders: exactly as many succeed as there are pieces, and nobody deadlocks.
func TestManyOrdersOnFewPieces(t *testing.T) {
	s := newShelf(t, map[string]int64{"A": 10, "B": 10})
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			id := fmt.Sprintf("o-%d", i)
			items := []events.OrderItem{{SKU: "A", Quantity: 1}, {SKU: "B", Quantity: 1}}
			if i%2 == 1 {
				items[0], items[1] = items[1], items[0]
			}
			for _, step := range []func() error{
				func() error { return hear(s, s.app.OnOrderCreated, created(id, items...)) },
				func() error { return hear(s, s.app.OnPaymentCompleted, paid(id)) },
			} {
				if err := step(); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			}
		})
	}
	wg.Wait()
	var reserved, failed int
	s.must(s.pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE event_type = 'InventoryReserved'),
		count(*) FILTER (WHERE event_type = 'InventoryReservationFailed') FROM outbox`).Scan(&reserved, &failed))
	if reserved != 10 || failed != 20 {
		t.Errorf("%d reserved and %d failed, want 10 and 20", reserved, failed)
	}
	if s.counts("A") != "0/10/0" || s.counts("B") != "0/10/0" {
		t.Errorf("A %s, B %s", s.counts("A"), s.counts("B"))
	}
}

func TestReceiptsAddUp(t *testing.T) {
	s := newShelf(t, map[string]int64{"A": 5})
	for range 3 {
		s.must(postgres.InTx(t.Context(), s.pool, func(tx pgx.Tx) error {
			_, err := s.app.ReceiveStock(t.Context(), tx, "A", 4)
			return err
		}))
	}
	s.must(s.app.Seed(t.Context(), map[string]int64{"A": 99})) // stocked before: stays
	row, err := s.app.Stock(t.Context(), "A")
	s.must(err)
	if row.Available != 17 || row.Initial != 5 || row.Restocked != 12 {
		t.Errorf("%+v", row)
	}
}
