package app_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/inventory/internal/app"
	"eventshop.example/services/inventory/inventory"
)

func (f *fixture) receive(sku string, quantity int64) error {
	return postgres.InTx(f.t.Context(), f.pool, func(tx pgx.Tx) error {
		_, err := f.app.ReceiveStock(f.t.Context(), tx, sku, quantity)
		return err
	})
}

// TestStockHasACap: a SKU receives at most MaxPieces in total, and a refused receipt changes
// nothing.
func TestStockHasACap(t *testing.T) {
	f := newFixture(t, map[string]int64{"SEEDED": inventory.MaxPieces - 5, "FULL": inventory.MaxPieces, "BEFORE": math.MaxInt64})
	f.must(f.receive("SEEDED", 4))
	f.must(f.receive("SEEDED", 1))
	f.must(f.receive("NEW", 1_000_000_000))
	for _, sku := range []string{"SEEDED", "FULL", "BEFORE"} { // the last one is from a release without a cap
		err := f.receive(sku, 1)
		if fields := errs.Fields(err); errs.KindOf(err) != errs.Invalid || len(fields) != 1 || fields[0].Field != "quantity" {
			t.Errorf("%s: error %v, want an invalid one that names quantity", sku, err)
		}
	}
	var receipts int
	f.must(f.pool.QueryRow(t.Context(), `SELECT count(*) FROM receipts`).Scan(&receipts))
	if receipts != 3 || f.counts("SEEDED") != "1000000000000000/0/0" || f.counts("FULL") != "1000000000000000/0/0" {
		t.Errorf("%d receipts, SEEDED %s, FULL %s", receipts, f.counts("SEEDED"), f.counts("FULL"))
	}
	// Stock from before the cap can be sold and released.
	f.must(receive(f, app.OnOrderCreated, created("o-1", events.OrderItem{SKU: "BEFORE", Quantity: math.MaxInt32})))
	f.must(receive(f, app.OnPaymentCompleted, paid("o-1")))
	if got := f.counts("BEFORE"); got != "9223372034707292160/2147483647/0" {
		t.Errorf("BEFORE %s", got)
	}
	f.must(receive(f, app.OnShipmentFailed, events.ShipmentFailed{OrderID: "o-1"}))
	if got := f.counts("BEFORE"); got != "9223372036854775807/0/0" {
		t.Errorf("BEFORE %s", got)
	}
}

// TestEveryQuantityIsAnswered: whatever quantities an OrderCreated carries, the order is reserved,
// or rejected with an event that has the quantities as far as they fit. No piece moves for a line
// of less than one piece, and no number wraps around.
func TestEveryQuantityIsAnswered(t *testing.T) {
	const most = math.MaxInt32
	tests := map[string]struct {
		items []events.OrderItem
		want  event.Event // without ids and times
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
			f := newFixture(t, map[string]int64{"A": inventory.MaxPieces, "B": 7})
			f.must(receive(f, app.OnOrderCreated, created("o-1", tt.items...)))
			f.must(receive(f, app.OnPaymentCompleted, paid("o-1")))
			if diff := cmp.Diff(asText(t, tt.want), f.only("o-1")); diff != "" {
				t.Errorf("emitted (-want +got):\n%s", diff)
			}
		})
	}
}

func refusal(short ...events.Shortage) events.InventoryReservationFailed {
	return events.InventoryReservationFailed{Reason: "out_of_stock", Shortages: short}
}

// asText returns an event as text, without the ids and times that a test cannot predict.
func asText(t *testing.T, e event.Event) string {
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

// only returns the only event of an order.
func (f *fixture) only(id string) string {
	f.t.Helper()
	var name string
	var payload []byte
	f.must(f.pool.QueryRow(f.t.Context(), `SELECT event_type, payload FROM outbox WHERE aggregate_id = $1`, id).Scan(&name, &payload))
	typ, _ := events.Catalogue().Lookup(name)
	e, err := f.codec.Decode(f.t.Context(), typ, payload)
	f.must(err)
	return asText(f.t, e)
}
