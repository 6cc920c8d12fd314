package app_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/inventory/internal/inventory"
)

func (s *shelf) receive(sku string, quantity int64) error {
	return postgres.InTx(s.t.Context(), s.pool, func(tx pgx.Tx) error {
		_, err := s.app.ReceiveStock(s.t.Context(), tx, sku, quantity)
		return err
	})
}

// TestStockHasACap: a SKU receives MaxPieces and not one more, however it got them, and a
// receipt that is refused changes nothing.
func TestStockHasACap(t *testing.T) {
	s := newShelf(t, map[string]int64{"SEEDED": inventory.MaxPieces - 5, "FULL": inventory.MaxPieces, "BEFORE": math.MaxInt64})
	s.must(s.receive("SEEDED", 4))
	s.must(s.receive("SEEDED", 1))
	s.must(s.receive("NEW", 1_000_000_000))
	for _, sku := range []string{"SEEDED", "FULL", "BEFORE"} { // the last is of a release without a cap
		err := s.receive(sku, 1)
		if fields := errs.Fields(err); errs.KindOf(err) != errs.Invalid || len(fields) != 1 || fields[0].Field != "quantity" {
			t.Errorf("%s: error %v, want an invalid one that names quantity", sku, err)
		}
	}
	var receipts int
	s.must(s.pool.QueryRow(t.Context(), `SELECT count(*) FROM receipts`).Scan(&receipts))
	if receipts != 3 || s.counts("SEEDED") != "1000000000000000/0/0" || s.counts("FULL") != "1000000000000000/0/0" {
		t.Errorf("%d receipts, SEEDED %s, FULL %s", receipts, s.counts("SEEDED"), s.counts("FULL"))
	}
	// What was stocked before there was a cap can be sold and given back.
	s.must(hear(s, s.app.OnOrderCreated, created("o-1", events.OrderItem{SKU: "BEFORE", Quantity: math.MaxInt32})))
	s.must(hear(s, s.app.OnPaymentCompleted, paid("o-1")))
	if got := s.counts("BEFORE"); got != "9223372034707292160/2147483647/0" {
		t.Errorf("BEFORE %s", got)
	}
	s.must(hear(s, s.app.OnShipmentFailed, events.ShipmentFailed{OrderID: "o-1"}))
	if got := s.counts("BEFORE"); got != "9223372036854775807/0/0" {
		t.Errorf("BEFORE %s", got)
	}
}

// TestEveryQuantityIsAnswered: whatever an OrderCreated may carry, the order is reserved or
// refused by an event that says the quantities as far as it can. No piece moves for a line
// of less than one, and no number wraps around.
func TestEveryQuantityIsAnswered(t *testing.T) {
	const most = math.MaxInt32
	tests := map[string]struct {
		items []events.OrderItem
		want  events.Event // without ids and times
	}{
		"the most there is": {[]events.OrderItem{{SKU: "A", Quantity: most}},
			events.InventoryReserved{Items: []events.ReservedItem{{SKU: "A", Quantity: most}}}},
		"free of charge": {[]events.OrderItem{{SKU: "A", Quantity: 1, UnitPrice: 0}},
			events.InventoryReserved{Items: []events.ReservedItem{{SKU: "A", Quantity: 1}}}},
		"any price": {[]events.OrderItem{{SKU: "A", Quantity: 2, UnitPrice: math.MaxInt64}},
			events.InventoryReserved{Items: []events.ReservedItem{{SKU: "A", Quantity: 2}}}},
		"lines of one SKU": {[]events.OrderItem{{SKU: "A", Quantity: most - 1}, {SKU: "A", Quantity: 1}},
			events.InventoryReserved{Items: []events.ReservedItem{{SKU: "A", Quantity: most}}}},
		"lines that add up to more than 32 bits": {[]events.OrderItem{{SKU: "A", Quantity: most}, {SKU: "A", Quantity: most}},
			refusal(events.Shortage{SKU: "A", Requested: most, Available: inventory.MaxPieces})},
		"nothing": {[]events.OrderItem{{SKU: "A", Quantity: 0}},
			refusal(events.Shortage{SKU: "A", Requested: 0, Available: inventory.MaxPieces})},
		"less than nothing": {[]events.OrderItem{{SKU: "A", Quantity: math.MinInt32}},
			refusal(events.Shortage{SKU: "A", Requested: math.MinInt32, Available: inventory.MaxPieces})},
		"a negative line made good": {[]events.OrderItem{{SKU: "A", Quantity: 5}, {SKU: "A", Quantity: -2}, {SKU: "A", Quantity: 9}},
			refusal(events.Shortage{SKU: "A", Requested: -2, Available: inventory.MaxPieces})},
		"a good line beside it": {[]events.OrderItem{{SKU: "A", Quantity: 1}, {SKU: "B", Quantity: -1}},
			refusal(events.Shortage{SKU: "B", Requested: -1, Available: 7})},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t, map[string]int64{"A": inventory.MaxPieces, "B": 7})
			s.must(hear(s, s.app.OnOrderCreated, created("o-1", tt.items...)))
			s.must(hear(s, s.app.OnPaymentCompleted, paid("o-1")))
			if diff := cmp.Diff(told(t, tt.want), s.only("o-1")); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

func refusal(short ...events.Shortage) events.InventoryReservationFailed {
	return events.InventoryReservationFailed{Reason: "out_of_stock", Shortages: short}
}

// told is an event as text, without the ids and times that a test cannot know.
func told(t *testing.T, e events.Event) string {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"OrderID", "ReservationID", "OccurredAt"} {
		delete(fields, name)
	}
	b, err = json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return e.EventType() + " " + string(b)
}

// only is the one event an order has led to.
func (s *shelf) only(id string) string {
	s.t.Helper()
	var name string
	var payload []byte
	s.must(s.pool.QueryRow(s.t.Context(), `SELECT event_type, payload FROM outbox WHERE aggregate_id = $1`, id).Scan(&name, &payload))
	typ, _ := events.Lookup(name)
	e, err := s.codec.Decode(s.t.Context(), typ, payload)
	s.must(err)
	return told(s.t, e)
}
