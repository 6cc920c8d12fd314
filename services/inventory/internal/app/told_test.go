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
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/inventory"
	"eventshop.example/services/inventory/internal/app"
	inv "eventshop.example/services/inventory/internal/inventory"
)

// eventOf wraps data as the consumer would.
func eventOf[T events.Event](data T) consumer.Event[T] {
	e := consumer.Event[T]{Data: data}
	e.ID, e.CorrelationID = uuid.Must(uuid.NewV7()), data.AggregateKey()
	return e
}

// noon is when everything happens on a teller's shelf.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// teller is a shelf whose events can be read.
type teller struct {
	*shelf
	codec *schema.Codec
}

func newTeller(t *testing.T, stock map[string]int64) teller {
	t.Helper()
	t.Parallel()
	db := pgtest.NewSeparate(t, inventory.Components()...)
	db.Migrate(t)
	codec := schematest.Start(t).Codec()
	s := &shelf{t: t, pool: db.App(t), db: db}
	s.app = app.New(app.Config{
		Pool: s.pool, Outbox: outbox.New(codec, "/eventshop/inventory"), Now: func() time.Time { return noon },
	})
	s.must(s.app.Seed(t.Context(), stock))
	return teller{s, codec}
}

// told returns what the outbox holds for an order, decoded, in the order of publication.
// Versions count from 1, and the row has the last one.
func (s teller) told(id string) []events.Event {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), `SELECT event_type, payload, ce_aggregateversion, convert_from(key, 'UTF8'), topic
		FROM outbox WHERE aggregate_id = $1 ORDER BY seq`, id)
	s.must(err)
	type stored struct {
		Name    string
		Payload []byte
		Version int64
		Key     string
		Topic   string
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stored])
	s.must(err)
	told := []events.Event{}
	for i, r := range all {
		if r.Version != int64(i+1) || r.Key != id || r.Topic != events.TopicInventoryEvents {
			s.t.Errorf("%s is version %d of %s on %s", r.Name, r.Version, r.Key, r.Topic)
		}
		typ, ok := events.Lookup(r.Name)
		if !ok {
			s.t.Fatalf("unknown type %s", r.Name)
		}
		e, err := s.codec.Decode(s.t.Context(), typ, r.Payload)
		s.must(err)
		told = append(told, e)
	}
	if version := s.reservation(id).Version; version != int64(len(told)) {
		s.t.Errorf("the reservation has version %d after %d events", version, len(told))
	}
	return told
}

func (s teller) expect(id string, state inv.State, want ...events.Event) {
	s.t.Helper()
	if got := s.reservation(id).State; got != state {
		s.t.Errorf("the reservation is %q, want %q", got, state)
	}
	if diff := cmp.Diff(append([]events.Event{}, want...), s.told(id), cmpopts.EquateEmpty()); diff != "" {
		s.t.Errorf("told (-want +got):\n%s", diff)
	}
}

func (s *shelf) reservation(id string) app.Reservation {
	s.t.Helper()
	r, err := s.app.Reservation(s.t.Context(), id)
	s.must(err)
	return r
}

func (s *shelf) expectCounts(sku, want string) {
	s.t.Helper()
	if got := s.counts(sku); got != want {
		s.t.Errorf("%s is %s, want %s", sku, got, want)
	}
}

// twoLines is an order of two SKUs, the later one first.
func twoLines(id string) events.OrderCreated {
	return created(id, events.OrderItem{SKU: "B", Quantity: 3}, events.OrderItem{SKU: "A", Quantity: 2})
}

func (s teller) reservedEvent(id string) *events.InventoryReserved {
	s.t.Helper()
	return &events.InventoryReserved{
		OrderID: id, ReservationID: s.reservation(id).ID.String(), OccurredAt: noon,
		Items: []events.ReservedItem{{SKU: "A", Quantity: 2}, {SKU: "B", Quantity: 3}},
	}
}

// TestLifeOfAReservation: reserved, then shipped. Each event comes twice, past the inbox.
func TestLifeOfAReservation(t *testing.T) {
	s := newTeller(t, map[string]int64{"A": 5, "B": 3})
	for range 2 {
		s.must(hear(s.shelf, s.app.OnOrderCreated, twoLines("o-1")))
	}
	s.expect("o-1", inv.AwaitingPayment)
	for range 2 {
		s.must(hear(s.shelf, s.app.OnPaymentCompleted, paid("o-1")))
	}
	s.must(hear(s.shelf, s.app.OnOrderCreated, twoLines("o-1")))
	s.expect("o-1", inv.Reserved, s.reservedEvent("o-1"))
	s.expectCounts("A", "3/2/0")
	s.expectCounts("B", "0/3/0")
	for range 2 {
		s.must(hear(s.shelf, s.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: "o-1"}))
	}
	s.expect("o-1", inv.Shipped, s.reservedEvent("o-1"))
	s.expectCounts("A", "3/0/2")
	s.expectCounts("B", "0/0/3")

	// Behind the pivot there is no way back to the shelf.
	s.must(hear(s.shelf, s.app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: "o-1", Reason: "customer"}))
	s.must(hear(s.shelf, s.app.OnShipmentFailed, events.ShipmentFailed{OrderID: "o-1", Reason: "address_not_served"}))
	s.expect("o-1", inv.Shipped, s.reservedEvent("o-1"))
	s.expectCounts("A", "3/0/2")
}

// TestAReleaseTellsWhy: what was reserved goes back once, with the reason of the event that
// undid it.
func TestAReleaseTellsWhy(t *testing.T) {
	s := newTeller(t, map[string]int64{"A": 5, "B": 3})
	cancelled := func(reason string) func(id string) error {
		return func(id string) error {
			return hear(s.shelf, s.app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: id, Reason: reason})
		}
	}
	for reason, undo := range map[string]func(id string) error{
		"shipment_failed": func(id string) error {
			return hear(s.shelf, s.app.OnShipmentFailed, events.ShipmentFailed{OrderID: id, Reason: "address_not_served"})
		},
		"customer": cancelled("customer"),
		"deadline": cancelled("deadline"),
	} {
		id := "o-" + reason
		s.must(hear(s.shelf, s.app.OnOrderCreated, twoLines(id)))
		s.must(hear(s.shelf, s.app.OnPaymentCompleted, paid(id)))
		for range 2 {
			s.must(undo(id))
		}
		s.must(hear(s.shelf, s.app.OnPaymentCompleted, paid(id)))
		s.must(hear(s.shelf, s.app.OnOrderCreated, twoLines(id)))
		held := s.reservedEvent(id)
		s.expect(id, inv.Released, held, &events.InventoryReleased{
			OrderID: id, ReservationID: held.ReservationID, Items: held.Items, Reason: reason, OccurredAt: noon,
		})
		s.expectCounts("A", "5/0/0")
		s.expectCounts("B", "3/0/0")
	}
}

// TestARejectionHoldsNothing: the order is REJECTED with what was missing, and nothing that
// comes later takes pieces from the shelf or puts pieces on it.
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
			s := newTeller(t, c.stock)
			before := map[string]string{}
			for sku := range c.stock {
				before[sku] = s.counts(sku)
			}
			unchanged := func() {
				t.Helper()
				for sku, want := range before {
					s.expectCounts(sku, want)
				}
			}
			failed := &events.InventoryReservationFailed{OrderID: "o-1", Reason: c.reason, Shortages: c.shortages, OccurredAt: noon}
			s.must(hear(s.shelf, s.app.OnOrderCreated, twoLines("o-1")))
			s.must(hear(s.shelf, s.app.OnPaymentCompleted, paid("o-1")))
			s.expect("o-1", inv.Rejected, failed)
			unchanged()
			var want []inv.Shortage
			for _, m := range c.shortages {
				_, known := c.stock[m.SKU]
				want = append(want, inv.Shortage{SKU: m.SKU, Requested: int64(m.Requested), Available: m.Available, Known: known})
			}
			if diff := cmp.Diff(want, s.reservation("o-1").Shortages); diff != "" {
				t.Errorf("shortages (-want +got):\n%s", diff)
			}

			s.must(hear(s.shelf, s.app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: "o-1", Reason: "customer"}))
			s.must(hear(s.shelf, s.app.OnShipmentFailed, events.ShipmentFailed{OrderID: "o-1"}))
			s.must(hear(s.shelf, s.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: "o-1"}))
			s.must(hear(s.shelf, s.app.OnPaymentCompleted, paid("o-1")))
			s.must(hear(s.shelf, s.app.OnOrderCreated, twoLines("o-1")))
			s.expect("o-1", inv.Rejected, failed)
			unchanged()
		})
	}
}

// TestATombstoneForEveryEnd: whatever ends the saga before anything was held forbids the
// late steps, in whichever order they come.
func TestATombstoneForEveryEnd(t *testing.T) {
	s := newTeller(t, map[string]int64{"A": 5, "B": 3})
	for name, end := range map[string]func(id string) error{
		"declined": func(id string) error {
			return hear(s.shelf, s.app.OnPaymentFailed, events.PaymentFailed{OrderID: id, Reason: "insufficient_funds"})
		},
		"voided": func(id string) error {
			return hear(s.shelf, s.app.OnPaymentVoided, events.PaymentVoided{OrderID: id, Reason: "customer"})
		},
		"refused": func(id string) error {
			return hear(s.shelf, s.app.OnShipmentFailed, events.ShipmentFailed{OrderID: id})
		},
		"cancelled": func(id string) error {
			return hear(s.shelf, s.app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: id, Reason: "customer"})
		},
	} {
		for first, before := range map[string]func(id string) error{
			"first of all":       func(string) error { return nil },
			"behind the items":   func(id string) error { return hear(s.shelf, s.app.OnOrderCreated, twoLines(id)) },
			"behind the payment": func(id string) error { return hear(s.shelf, s.app.OnPaymentCompleted, paid(id)) },
		} {
			id := name + " " + first
			s.must(before(id))
			for range 2 {
				s.must(end(id))
			}
			s.must(hear(s.shelf, s.app.OnPaymentCompleted, paid(id)))
			s.must(hear(s.shelf, s.app.OnOrderCreated, twoLines(id)))
			s.must(hear(s.shelf, s.app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id}))
			if state := s.reservation(id).State; state != inv.Cancelled || len(s.told(id)) != 0 {
				t.Errorf("%s: the reservation is %q, told %v", id, state, s.told(id))
			}
		}
	}
	s.expectCounts("A", "5/0/0")
	s.expectCounts("B", "3/0/0")
}

// TestTheLastPieceIsSold: an order for all there is gets it.
func TestTheLastPieceIsSold(t *testing.T) {
	s := newTeller(t, map[string]int64{"A": 2, "B": 3})
	s.must(hear(s.shelf, s.app.OnPaymentCompleted, paid("o-1")))
	s.expect("o-1", inv.AwaitingItems)
	s.must(hear(s.shelf, s.app.OnOrderCreated, twoLines("o-1")))
	s.expect("o-1", inv.Reserved, s.reservedEvent("o-1"))
	s.expectCounts("A", "0/2/0")
	s.expectCounts("B", "0/3/0")
}

// TestReceiptsAreKept: a row per receipt, which adds up to what was restocked.
func TestReceiptsAreKept(t *testing.T) {
	s := newShelf(t, map[string]int64{"A": 5})
	for _, quantity := range []int64{4, 7} {
		var receipt app.Receipt
		s.must(postgres.InTx(t.Context(), s.pool, func(tx pgx.Tx) (err error) {
			receipt, err = s.app.ReceiveStock(t.Context(), tx, "A", quantity)
			return err
		}))
		var kept int64
		s.must(s.pool.QueryRow(t.Context(), `SELECT quantity FROM receipts WHERE id = $1 AND sku = 'A'`, receipt.ID).Scan(&kept))
		if receipt.ID == uuid.Nil || receipt.Quantity != quantity || kept != quantity {
			t.Errorf("%+v, kept as %d, want %d", receipt, kept, quantity)
		}
	}
	s.expectCounts("A", "16/0/0")
}

// awaitBlocked returns when a session of this database waits for another's lock.
func (s *shelf) awaitBlocked(ctx context.Context) {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		var blocked bool
		s.must(s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid IN
			(SELECT pid FROM pg_stat_activity WHERE datname = current_database()))`).Scan(&blocked))
		if blocked {
			return
		}
		<-tick.C
	}
	s.t.Fatal("no session waits for a lock")
}

// TestTwoEventsOfAnOrderQueue: the items and the payment come at the same time, through two
// processes, and neither has seen the other's. The second waits for the first at the
// order's row, so it finds both and reserves; the events keep their versions' order.
func TestTwoEventsOfAnOrderQueue(t *testing.T) {
	s := newTeller(t, map[string]int64{"A": 5, "B": 3})
	second := make(chan error, 1)
	s.must(postgres.InTx(t.Context(), s.pool, func(tx pgx.Tx) error {
		if err := s.app.OnOrderCreated(t.Context(), tx, eventOf(twoLines("o-1"))); err != nil {
			return err
		}
		go func() { second <- hear(s.shelf, s.app.OnPaymentCompleted, paid("o-1")) }()
		s.awaitBlocked(t.Context())
		return nil
	}))
	s.must(<-second)
	s.expect("o-1", inv.Reserved, s.reservedEvent("o-1"))

	// The same where there is a row already, and the first has locked it and not changed it
	// yet: a dispatch, and a cancellation that must not find the pieces on the shelf.
	released := make(chan error, 1)
	s.must(postgres.InTx(t.Context(), s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT FROM reservations WHERE order_id = 'o-1' FOR UPDATE`); err != nil {
			return err
		}
		go func() {
			released <- hear(s.shelf, s.app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: "o-1", Reason: "customer"})
		}()
		s.awaitBlocked(t.Context())
		return s.app.OnShipmentDispatched(t.Context(), tx, eventOf(events.ShipmentDispatched{OrderID: "o-1"}))
	}))
	s.must(<-released)
	s.expect("o-1", inv.Shipped, s.reservedEvent("o-1"))
	s.expectCounts("A", "3/0/2")
}

// TestStockIsLockedInOrderOfSKU: an order that waits for one SKU holds none that sorts
// behind it, so two orders never wait for each other. B's row lies before A's.
func TestStockIsLockedInOrderOfSKU(t *testing.T) {
	s := newTeller(t, nil)
	for _, sku := range []string{"B", "A"} {
		s.must(s.app.Seed(t.Context(), map[string]int64{sku: 5}))
	}
	s.must(hear(s.shelf, s.app.OnOrderCreated, twoLines("o-1")))
	reserved := make(chan error, 1)
	s.must(postgres.InTx(t.Context(), s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT FROM stock WHERE sku = 'A' FOR UPDATE`); err != nil {
			return err
		}
		go func() { reserved <- hear(s.shelf, s.app.OnPaymentCompleted, paid("o-1")) }()
		s.awaitBlocked(t.Context())
		_, err := tx.Exec(t.Context(), `SELECT FROM stock WHERE sku = 'B' FOR UPDATE NOWAIT`)
		return err
	}))
	s.must(<-reserved)
	s.expect("o-1", inv.Reserved, s.reservedEvent("o-1"))
}

// TestStockIsCountedUnderLock: an order that comes while another is taking the last pieces
// waits, and counts what is left.
func TestStockIsCountedUnderLock(t *testing.T) {
	s := newTeller(t, map[string]int64{"A": 2, "B": 3})
	for _, id := range []string{"o-1", "o-2"} {
		s.must(hear(s.shelf, s.app.OnOrderCreated, twoLines(id)))
	}
	second := make(chan error, 1)
	s.must(postgres.InTx(t.Context(), s.pool, func(tx pgx.Tx) error {
		if err := s.app.OnPaymentCompleted(t.Context(), tx, eventOf(paid("o-1"))); err != nil {
			return err
		}
		go func() { second <- hear(s.shelf, s.app.OnPaymentCompleted, paid("o-2")) }()
		s.awaitBlocked(t.Context())
		return nil
	}))
	s.must(<-second)
	s.expect("o-1", inv.Reserved, s.reservedEvent("o-1"))
	s.expect("o-2", inv.Rejected, &events.InventoryReservationFailed{
		OrderID: "o-2", Reason: "out_of_stock", OccurredAt: noon,
		Shortages: []events.Shortage{{SKU: "A", Requested: 2}, {SKU: "B", Requested: 3}},
	})
}

// TestWhatRollsBackLeavesNothing: reservation, items, stock and outbox commit together, or
// none of them does.
func TestWhatRollsBackLeavesNothing(t *testing.T) {
	s := newTeller(t, map[string]int64{"A": 5, "B": 3})
	crash := errors.New("the process dies here")
	err := postgres.InTx(t.Context(), s.pool, func(tx pgx.Tx) error {
		for _, handle := range []func() error{
			func() error { return s.app.OnOrderCreated(t.Context(), tx, eventOf(twoLines("o-1"))) },
			func() error { return s.app.OnPaymentCompleted(t.Context(), tx, eventOf(paid("o-1"))) },
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
		s.must(s.pool.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&rows))
		if rows != 0 {
			t.Errorf("%d rows in %s", rows, table)
		}
	}
	s.expectCounts("A", "5/0/0")
	s.must(hear(s.shelf, s.app.OnPaymentCompleted, paid("o-1")))
	s.must(hear(s.shelf, s.app.OnOrderCreated, twoLines("o-1")))
	s.expect("o-1", inv.Reserved, s.reservedEvent("o-1"))
}
