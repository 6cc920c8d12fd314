package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/inventory"
	"eventshop.example/services/inventory/internal/app"
	inv "eventshop.example/services/inventory/inventory"
)

// eventOf wraps data in the same way as the consumer.
func eventOf[T event.Event](data T) consumer.Event[T] {
	e := consumer.Event[T]{Data: data}
	e.ID, e.CorrelationID = uuid.Must(uuid.NewV7()), data.AggregateKey()
	return e
}

// noon is the time of everything in an eventsFixture.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// eventsFixture is a fixture whose events can be decoded.
type eventsFixture struct {
	*fixture
	codec *schema.Codec
}

func newEventsFixture(t *testing.T, stock map[string]int64) eventsFixture {
	t.Helper()
	t.Parallel()
	db := pgtest.NewSeparate(t, inventory.Components()...)
	db.Migrate(t)
	codec := schematest.Start(t).Codec(events.Catalogue())
	f := &fixture{t: t, pool: db.App(t), db: db}
	f.app = app.New(app.Config{
		Pool: f.pool, Outbox: outbox.New(outbox.Config{Source: "/eventshop/inventory", Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode}), Now: func() time.Time { return noon },
	})
	f.must(f.app.Seed(t.Context(), stock))
	return eventsFixture{f, codec}
}

// emittedEvents returns the decoded events of an order from the outbox, in the order of
// publication. It checks that the versions count from 1 and that the row has the last one.
func (f eventsFixture) emittedEvents(id string) []event.Event {
	f.t.Helper()
	rows, err := f.pool.Query(f.t.Context(), `SELECT event_type, payload, ce_aggregateversion, convert_from(key, 'UTF8'), topic
		FROM outbox WHERE aggregate_id = $1 ORDER BY seq`, id)
	f.must(err)
	type stored struct {
		Name    string
		Payload []byte
		Version int64
		Key     string
		Topic   string
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stored])
	f.must(err)
	emitted := []event.Event{}
	for i, r := range all {
		if r.Version != int64(i+1) || r.Key != id || r.Topic != events.TopicInventoryEvents {
			f.t.Errorf("%s is version %d of %s on %s", r.Name, r.Version, r.Key, r.Topic)
		}
		typ, ok := events.Catalogue().Lookup(r.Name)
		if !ok {
			f.t.Fatalf("unknown type %s", r.Name)
		}
		e, err := f.codec.Decode(f.t.Context(), typ, r.Payload)
		f.must(err)
		emitted = append(emitted, e)
	}
	if version := f.reservation(id).Version; version != int64(len(emitted)) {
		f.t.Errorf("the reservation has version %d after %d events", version, len(emitted))
	}
	return emitted
}

func (f eventsFixture) expect(id string, state inv.State, want ...event.Event) {
	f.t.Helper()
	if got := f.reservation(id).State; got != state {
		f.t.Errorf("the reservation is %q, want %q", got, state)
	}
	if diff := cmp.Diff(append([]event.Event{}, want...), f.emittedEvents(id), cmpopts.EquateEmpty()); diff != "" {
		f.t.Errorf("emitted (-want +got):\n%s", diff)
	}
}

func (f *fixture) reservation(id string) app.View {
	f.t.Helper()
	r, err := f.app.Reservation(f.t.Context(), id)
	f.must(err)
	return r
}

func (f *fixture) expectCounts(sku, want string) {
	f.t.Helper()
	if got := f.counts(sku); got != want {
		f.t.Errorf("%s is %s, want %s", sku, got, want)
	}
}

// twoLines returns an order of two SKUs, in reverse SKU order.
func twoLines(id string) events.OrderCreated {
	return created(id, events.OrderItem{SKU: "B", Quantity: 3}, events.OrderItem{SKU: "A", Quantity: 2})
}

func (f eventsFixture) reservedEvent(id string) *events.InventoryReserved {
	f.t.Helper()
	return &events.InventoryReserved{
		OrderID: id, ReservationID: f.reservation(id).ID.String(), OccurredAt: noon,
		Items: []events.ReservedItem{{SKU: "A", Quantity: 2}, {SKU: "B", Quantity: 3}},
	}
}

// TestLifeOfAReservation: reserved, then shipped. Each event arrives twice, without an inbox.
func TestLifeOfAReservation(t *testing.T) {
	f := newEventsFixture(t, map[string]int64{"A": 5, "B": 3})
	for range 2 {
		f.must(receive(f.fixture, app.OnOrderCreated, twoLines("o-1")))
	}
	f.expect("o-1", inv.AwaitingPayment)
	for range 2 {
		f.must(receive(f.fixture, app.OnPaymentCompleted, paid("o-1")))
	}
	f.must(receive(f.fixture, app.OnOrderCreated, twoLines("o-1")))
	f.expect("o-1", inv.Reserved, f.reservedEvent("o-1"))
	f.expectCounts("A", "3/2/0")
	f.expectCounts("B", "0/3/0")
	for range 2 {
		f.must(receive(f.fixture, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: "o-1"}))
	}
	f.expect("o-1", inv.Shipped, f.reservedEvent("o-1"))
	f.expectCounts("A", "3/0/2")
	f.expectCounts("B", "0/0/3")

	// After the pivot, nothing is released.
	f.must(receive(f.fixture, app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: "o-1", Reason: "customer"}))
	f.must(receive(f.fixture, app.OnShipmentFailed, events.ShipmentFailed{OrderID: "o-1", Reason: "address_not_served"}))
	f.expect("o-1", inv.Shipped, f.reservedEvent("o-1"))
	f.expectCounts("A", "3/0/2")
}

// TestAReleaseEmitsTheReason: reserved pieces are released once, with the reason of the event that
// caused it.
func TestAReleaseEmitsTheReason(t *testing.T) {
	f := newEventsFixture(t, map[string]int64{"A": 5, "B": 3})
	cancelled := func(reason string) func(id string) error {
		return func(id string) error {
			return receive(f.fixture, app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: id, Reason: reason})
		}
	}
	for reason, undo := range map[string]func(id string) error{
		"shipment_failed": func(id string) error {
			return receive(f.fixture, app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served"})
		},
		"customer": cancelled("customer"),
		"deadline": cancelled("deadline"),
	} {
		id := "o-" + reason
		f.must(receive(f.fixture, app.OnOrderCreated, twoLines(id)))
		f.must(receive(f.fixture, app.OnPaymentCompleted, paid(id)))
		for range 2 {
			f.must(undo(id))
		}
		f.must(receive(f.fixture, app.OnPaymentCompleted, paid(id)))
		f.must(receive(f.fixture, app.OnOrderCreated, twoLines(id)))
		held := f.reservedEvent(id)
		f.expect(id, inv.Released, held, &events.InventoryReleased{
			OrderID: id, ReservationID: held.ReservationID, Items: held.Items, Reason: reason, OccurredAt: noon,
		})
		f.expectCounts("A", "5/0/0")
		f.expectCounts("B", "3/0/0")
	}
}

// TestARejectionHoldsNothing: the order is REJECTED with its shortages, and no later event moves
// pieces.
func TestARejectionHoldsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		stock     map[string]int64
		reason    string
		shortages []events.Shortage
	}{
		"too little": {map[string]int64{"A": 5, "B": 2}, "out_of_stock", []events.Shortage{{SKU: "B", Requested: 3, Available: 2}}},
		"none of anything": {map[string]int64{"A": 1, "B": 0}, "out_of_stock",
			[]events.Shortage{{SKU: "A", Requested: 2, Available: 1}, {SKU: "B", Requested: 3, Available: 0}}},
		"unknown": {map[string]int64{"A": 5}, "unknown_sku", []events.Shortage{{SKU: "B", Requested: 3, Available: 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newEventsFixture(t, c.stock)
			before := map[string]string{}
			for sku := range c.stock {
				before[sku] = f.counts(sku)
			}
			unchanged := func() {
				t.Helper()
				for sku, want := range before {
					f.expectCounts(sku, want)
				}
			}
			failed := &events.InventoryReservationFailed{OrderID: "o-1", Reason: c.reason, Shortages: c.shortages, OccurredAt: noon}
			f.must(receive(f.fixture, app.OnOrderCreated, twoLines("o-1")))
			f.must(receive(f.fixture, app.OnPaymentCompleted, paid("o-1")))
			f.expect("o-1", inv.Rejected, failed)
			unchanged()
			var want []inv.Shortage
			for _, m := range c.shortages {
				_, known := c.stock[m.SKU]
				want = append(want, inv.Shortage{SKU: m.SKU, Requested: int64(m.Requested), Available: m.Available, Known: known})
			}
			if diff := cmp.Diff(want, f.reservation("o-1").Shortages); diff != "" {
				t.Errorf("shortages (-want +got):\n%s", diff)
			}

			f.must(receive(f.fixture, app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: "o-1", Reason: "customer"}))
			f.must(receive(f.fixture, app.OnShipmentFailed, events.ShipmentFailed{OrderID: "o-1"}))
			f.must(receive(f.fixture, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: "o-1"}))
			f.must(receive(f.fixture, app.OnPaymentCompleted, paid("o-1")))
			f.must(receive(f.fixture, app.OnOrderCreated, twoLines("o-1")))
			f.expect("o-1", inv.Rejected, failed)
			unchanged()
		})
	}
}

// TestATombstoneForEveryEnd: when the saga ends before anything is reserved, the late steps are
// refused, in every order of arrival.
func TestATombstoneForEveryEnd(t *testing.T) {
	f := newEventsFixture(t, map[string]int64{"A": 5, "B": 3})
	for name, end := range map[string]func(id string) error{
		"declined": func(id string) error {
			return receive(f.fixture, app.OnPaymentFailed, events.PaymentFailed{OrderID: id, Reason: "insufficient_funds"})
		},
		"voided": func(id string) error {
			return receive(f.fixture, app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
		},
		"refused": func(id string) error {
			return receive(f.fixture, app.OnShipmentFailed, events.ShipmentFailed{OrderID: id})
		},
		"cancelled": func(id string) error {
			return receive(f.fixture, app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: id, Reason: "customer"})
		},
	} {
		for first, before := range map[string]func(id string) error{
			"first of all":       func(string) error { return nil },
			"behind the items":   func(id string) error { return receive(f.fixture, app.OnOrderCreated, twoLines(id)) },
			"behind the payment": func(id string) error { return receive(f.fixture, app.OnPaymentCompleted, paid(id)) },
		} {
			id := name + " " + first
			f.must(before(id))
			for range 2 {
				f.must(end(id))
			}
			f.must(receive(f.fixture, app.OnPaymentCompleted, paid(id)))
			f.must(receive(f.fixture, app.OnOrderCreated, twoLines(id)))
			f.must(receive(f.fixture, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id}))
			if state := f.reservation(id).State; state != inv.Cancelled || len(f.emittedEvents(id)) != 0 {
				t.Errorf("%s: the reservation is %q, emitted %v", id, state, f.emittedEvents(id))
			}
		}
	}
	f.expectCounts("A", "5/0/0")
	f.expectCounts("B", "3/0/0")
}

// TestTheLastPieceIsSold: an order for all available pieces is reserved.
func TestTheLastPieceIsSold(t *testing.T) {
	f := newEventsFixture(t, map[string]int64{"A": 2, "B": 3})
	f.must(receive(f.fixture, app.OnPaymentCompleted, paid("o-1")))
	f.expect("o-1", inv.AwaitingItems)
	f.must(receive(f.fixture, app.OnOrderCreated, twoLines("o-1")))
	f.expect("o-1", inv.Reserved, f.reservedEvent("o-1"))
	f.expectCounts("A", "0/2/0")
	f.expectCounts("B", "0/3/0")
}

// TestReceiptsAreKept: each receipt has a row, and the rows add up to the restocked pieces.
func TestReceiptsAreKept(t *testing.T) {
	f := newFixture(t, map[string]int64{"A": 5})
	for _, quantity := range []int64{4, 7} {
		var receipt app.Receipt
		f.must(postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) (err error) {
			receipt, err = f.app.ReceiveStock(t.Context(), tx, "A", quantity)
			return err
		}))
		var kept int64
		f.must(f.pool.QueryRow(t.Context(), `SELECT quantity FROM receipts WHERE id = $1 AND sku = 'A'`, receipt.ID).Scan(&kept))
		if receipt.ID == uuid.Nil || receipt.Quantity != quantity || kept != quantity {
			t.Errorf("%+v, kept as %d, want %d", receipt, kept, quantity)
		}
	}
	f.expectCounts("A", "16/0/0")
}

// awaitBlocked returns when a session of this database waits for a lock of another session.
func (f *fixture) awaitBlocked(ctx context.Context) {
	f.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		var blocked bool
		f.must(f.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid IN
			(SELECT pid FROM pg_stat_activity WHERE datname = current_database()))`).Scan(&blocked))
		if blocked {
			return
		}
		<-tick.C
	}
	f.t.Fatal("no session waits for a lock")
}

// TestTwoEventsOfAnOrderQueue: two processes receive the items and the payment at the same time,
// and neither has seen the other's event. The second one waits at the order's row. So it finds both
// facts and reserves, and the events are in version order.
func TestTwoEventsOfAnOrderQueue(t *testing.T) {
	f := newEventsFixture(t, map[string]int64{"A": 5, "B": 3})
	second := make(chan error, 1)
	f.must(postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		if err := within(f, tx, app.OnOrderCreated, twoLines("o-1")); err != nil {
			return err
		}
		go func() { second <- receive(f.fixture, app.OnPaymentCompleted, paid("o-1")) }()
		f.awaitBlocked(t.Context())
		return nil
	}))
	f.must(<-second)
	f.expect("o-1", inv.Reserved, f.reservedEvent("o-1"))

	// The same with an existing row, which the first process has locked but not changed yet: a
	// dispatch, and a cancellation that must not release the pieces.
	released := make(chan error, 1)
	f.must(postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT FROM reservations WHERE order_id = 'o-1' FOR UPDATE`); err != nil {
			return err
		}
		go func() {
			released <- receive(f.fixture, app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: "o-1", Reason: "customer"})
		}()
		f.awaitBlocked(t.Context())
		return within(f, tx, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: "o-1"})
	}))
	f.must(<-released)
	f.expect("o-1", inv.Shipped, f.reservedEvent("o-1"))
	f.expectCounts("A", "3/0/2")
}

// TestStockIsLockedInOrderOfSKU: an order that waits for one SKU has locked no later SKU, so two
// orders never wait for each other. The row of B was inserted before that of A.
func TestStockIsLockedInOrderOfSKU(t *testing.T) {
	f := newEventsFixture(t, nil)
	for _, sku := range []string{"B", "A"} {
		f.must(f.app.Seed(t.Context(), map[string]int64{sku: 5}))
	}
	f.must(receive(f.fixture, app.OnOrderCreated, twoLines("o-1")))
	reserved := make(chan error, 1)
	f.must(postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT FROM stock WHERE sku = 'A' FOR UPDATE`); err != nil {
			return err
		}
		go func() { reserved <- receive(f.fixture, app.OnPaymentCompleted, paid("o-1")) }()
		f.awaitBlocked(t.Context())
		_, err := tx.Exec(t.Context(), `SELECT FROM stock WHERE sku = 'B' FOR UPDATE NOWAIT`)
		return err
	}))
	f.must(<-reserved)
	f.expect("o-1", inv.Reserved, f.reservedEvent("o-1"))
}

// TestStockIsCountedUnderLock: an order that arrives while another one takes the last pieces waits,
// and then counts the remaining pieces.
func TestStockIsCountedUnderLock(t *testing.T) {
	f := newEventsFixture(t, map[string]int64{"A": 2, "B": 3})
	for _, id := range []string{"o-1", "o-2"} {
		f.must(receive(f.fixture, app.OnOrderCreated, twoLines(id)))
	}
	second := make(chan error, 1)
	f.must(postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		if err := within(f, tx, app.OnPaymentCompleted, paid("o-1")); err != nil {
			return err
		}
		go func() { second <- receive(f.fixture, app.OnPaymentCompleted, paid("o-2")) }()
		f.awaitBlocked(t.Context())
		return nil
	}))
	f.must(<-second)
	f.expect("o-1", inv.Reserved, f.reservedEvent("o-1"))
	f.expect("o-2", inv.Rejected, &events.InventoryReservationFailed{
		OrderID: "o-2", Reason: "out_of_stock", OccurredAt: noon,
		Shortages: []events.Shortage{{SKU: "A", Requested: 2}, {SKU: "B", Requested: 3}},
	})
}

// TestWhatRollsBackLeavesNothing: reservation, items, stock and outbox commit together or not at
// all.
func TestWhatRollsBackLeavesNothing(t *testing.T) {
	f := newEventsFixture(t, map[string]int64{"A": 5, "B": 3})
	crash := errors.New("the process dies here")
	err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		for _, handle := range []func() error{
			func() error { return within(f, tx, app.OnOrderCreated, twoLines("o-1")) },
			func() error { return within(f, tx, app.OnPaymentCompleted, paid("o-1")) },
		} {
			if err := handle(); err != nil {
				return err
			}
		}
		return crash
	})
	if !errors.Is(err, crash) {
		t.Fatalf("error %v", err)
	}
	for _, table := range []string{"reservations", "reservation_items", "outbox"} {
		var rows int
		f.must(f.pool.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&rows))
		if rows != 0 {
			t.Errorf("%d rows in %s", rows, table)
		}
	}
	f.expectCounts("A", "5/0/0")
	f.must(receive(f.fixture, app.OnPaymentCompleted, paid("o-1")))
	f.must(receive(f.fixture, app.OnOrderCreated, twoLines("o-1")))
	f.expect("o-1", inv.Reserved, f.reservedEvent("o-1"))
}
