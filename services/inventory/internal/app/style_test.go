package app_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/telemetry/telemetrytest"
	"eventshop.example/services/inventory/internal/app"
	inv "eventshop.example/services/inventory/inventory"
)

// TestARecordOfTheOtherStyleMovesNothing: it changes no state, moves no piece and is not answered. The
// reservation needs attention, with the first reason, and the log has a warning each time.
func TestARecordOfTheOtherStyleMovesNothing(t *testing.T) {
	f, log := newFixture(t, map[string]int64{"A": 9}), &telemetrytest.Log{Subject: "orderId"}
	f.app = app.New(app.Config{Pool: f.pool, Outbox: outbox.New(outbox.Config{
		Source: "/eventshop/inventory", Types: f.codec.Types(), Encode: f.codec.Encode, CanEncode: f.codec.CanEncode,
	}), Log: log.Logger("inventory")})
	check := func(id string, state inv.State, style event.Style, reason string, warnings int) {
		t.Helper()
		got := f.reservation(id)
		if got.State != state || got.Style != style || got.Attention != reason {
			t.Errorf("%+v, want state %q, style %s and attention %q", got, state, style, reason)
		}
		if lines := log.About(t, id, "WARN"); len(lines) != warnings {
			t.Errorf("%d warnings, want %d: %v", len(lines), warnings, lines)
		}
	}
	item := events.ItemToReserve{SKU: "A", Quantity: 2}

	// An orchestrated order receives what would start steps of a choreographed one.
	orchestrated := uuid.Must(uuid.NewV7()).String()
	f.must(f.take(f.reserveStep(orchestrated, item)))
	f.must(receive(f, app.OnShipmentFailed, events.ShipmentFailed{OrderID: orchestrated, Reason: "address_not_served"}))
	reason := "ShipmentFailed with the style choreographed, and the order is orchestrated"
	check(orchestrated, inv.Reserved, event.Orchestrated, reason, 1)
	f.must(receive(f, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: orchestrated}))
	check(orchestrated, inv.Reserved, event.Orchestrated, reason, 2)
	f.must(f.take(f.releaseStep(orchestrated)))
	check(orchestrated, inv.Released, event.Orchestrated, reason, 2)
	if got := strings.Join(f.emitted(orchestrated), ", "); got != "InventoryReserved 1, InventoryReleased 2" {
		t.Errorf("emitted %s", got)
	}

	// A choreographed order receives commands.
	choreographed := uuid.Must(uuid.NewV7()).String()
	f.must(receive(f, app.OnOrderCreated, created(choreographed, events.OrderItem{SKU: "A", Quantity: 2})))
	f.must(f.take(f.reserveStep(choreographed, item)))
	reason = "ReserveInventory with the style orchestrated, and the order is choreographed"
	check(choreographed, inv.AwaitingPayment, event.Choreographed, reason, 1)
	f.must(receive(f, app.OnPaymentCompleted, paid(choreographed)))
	f.must(f.take(f.releaseStep(choreographed)))
	check(choreographed, inv.Reserved, event.Choreographed, reason, 2)
	if got := strings.Join(f.emitted(choreographed), ", "); got != "InventoryReserved 1" {
		t.Errorf("emitted %s", got)
	}

	// The first record of an order decides, in one transaction with others too.
	both := uuid.Must(uuid.NewV7()).String()
	f.must(f.take(f.reserveStep(both, item), stepOf(f, event.Choreographed, app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: both, Reason: "customer"})))
	check(both, inv.Reserved, event.Orchestrated, "ShipmentCancelled with the style choreographed, and the order is orchestrated", 1)
	if got := f.counts("A"); got != "5/4/0" {
		t.Errorf("A %s", got)
	}
}

// TestRowsOfBeforeAreChoreographed: rows that the release before has stored, or stores while both run.
func TestRowsOfBeforeAreChoreographed(t *testing.T) {
	f := newEventsFixture(t, map[string]int64{"A": 5, "B": 3})
	_, err := f.pool.Exec(t.Context(), `INSERT INTO reservations (order_id, state, reservation_id, updated_at)
		VALUES ('o-1', 'AWAITING_ITEMS', gen_random_uuid(), now())`)
	f.must(err)
	if got := f.reservation("o-1"); got.Style != event.Choreographed || got.Attention != "" {
		t.Errorf("%+v", got)
	}
	f.must(receive(f.fixture, app.OnOrderCreated, twoLines("o-1")))
	f.expect("o-1", inv.Reserved, f.reservedEvent("o-1"))
}

// TestAStepWithoutAStyle takes the style of the order, and what it emits has it.
func TestAStepWithoutAStyle(t *testing.T) {
	f := newEventsFixture(t, map[string]int64{"A": 5})
	f.must(f.take(f.reserveStep("o-1", events.ItemToReserve{SKU: "A", Quantity: 2})))
	step := f.releaseStep("o-1")
	step.Cause.Style = ""
	f.must(f.take(step))
	var styles string
	f.must(f.pool.QueryRow(t.Context(), `SELECT string_agg(event_type || ' ' || ce_sagastyle, ', ' ORDER BY seq) FROM outbox`).Scan(&styles))
	if styles != "InventoryReserved orchestrated, InventoryReleased orchestrated" {
		t.Errorf("emitted %s", styles)
	}
}

// TestASetOfBothStyles: orders of both styles share a transaction and the last pieces.
func TestASetOfBothStyles(t *testing.T) {
	f := newEventsFixture(t, map[string]int64{"A": 4, "B": 3})
	item := events.ItemToReserve{SKU: "A", Quantity: 2}
	f.must(f.take(
		stepOf(f.fixture, event.Choreographed, app.OnPaymentCompleted, paid("choreographed")),
		f.reserveStep("orchestrated", item),
		stepOf(f.fixture, event.Choreographed, app.OnOrderCreated, twoLines("choreographed")),
		f.reserveStep("too late", item),
		stepOf(f.fixture, event.Orchestrated, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: "orchestrated"}),
		f.releaseStep("too late"),
	))
	f.expect("choreographed", inv.Reserved, f.reservedEvent("choreographed"))
	f.expect("orchestrated", inv.Shipped, &events.InventoryReserved{
		OrderID: "orchestrated", ReservationID: f.reservation("orchestrated").ID.String(), OccurredAt: noon, Items: []events.ReservedItem{{SKU: "A", Quantity: 2}},
	})
	f.expect("too late", inv.Rejected,
		&events.InventoryReservationFailed{OrderID: "too late", Reason: "out_of_stock", Shortages: []events.Shortage{{SKU: "A", Requested: 2}}, OccurredAt: noon},
		&events.InventoryCommandAnswered{OrderID: "too late", Command: "ReleaseInventory", Outcome: "unchanged", State: "REJECTED", OccurredAt: noon})
	f.expectCounts("A", "0/2/2")
	var styles string
	f.must(f.pool.QueryRow(t.Context(), `SELECT string_agg(aggregate_id || ' ' || ce_sagastyle, ', ' ORDER BY seq) FROM outbox`).Scan(&styles))
	if styles != "orchestrated orchestrated, choreographed choreographed, too late orchestrated, too late orchestrated" {
		t.Errorf("styles %s", styles)
	}
}

// TestBothStylesOnFewPieces races orders of both styles for the same SKUs, with opposite line orders.
// Exactly as many succeed as there are pieces, and none deadlocks.
func TestBothStylesOnFewPieces(t *testing.T) {
	f := newFixture(t, map[string]int64{"A": 10, "B": 10})
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			id, first, second := fmt.Sprintf("o-%d", i), "A", "B"
			if i%4 >= 2 {
				first, second = second, first
			}
			var err error
			if i%2 == 0 {
				err = f.take(f.reserveStep(id, events.ItemToReserve{SKU: first, Quantity: 1}, events.ItemToReserve{SKU: second, Quantity: 1}))
			} else if err = receive(f, app.OnOrderCreated, created(id, events.OrderItem{SKU: first, Quantity: 1}, events.OrderItem{SKU: second, Quantity: 1})); err == nil {
				err = receive(f, app.OnPaymentCompleted, paid(id))
			}
			if err != nil {
				t.Errorf("%s: %v", id, err)
			}
		})
	}
	wg.Wait()
	var reserved, failed int
	f.must(f.pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE event_type = 'InventoryReserved'),
		count(*) FILTER (WHERE event_type = 'InventoryReservationFailed') FROM outbox`).Scan(&reserved, &failed))
	if reserved != 10 || failed != 20 || f.counts("A") != "0/10/0" || f.counts("B") != "0/10/0" {
		t.Errorf("%d reserved and %d failed, want 10 and 20; A %s, B %s", reserved, failed, f.counts("A"), f.counts("B"))
	}
}

// TestTheStockOfACommandIsLockedInOrderOfSKU: a command that waits for one SKU has locked no later SKU.
func TestTheStockOfACommandIsLockedInOrderOfSKU(t *testing.T) {
	f := newEventsFixture(t, nil)
	for _, sku := range []string{"B", "A"} {
		f.must(f.app.Seed(t.Context(), map[string]int64{sku: 5}))
	}
	reserved := make(chan error, 1)
	f.must(postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT FROM stock WHERE sku = 'A' FOR UPDATE`); err != nil {
			return err
		}
		go func() {
			reserved <- f.take(f.reserveStep("o-1", events.ItemToReserve{SKU: "B", Quantity: 3}, events.ItemToReserve{SKU: "A", Quantity: 2}))
		}()
		f.awaitBlocked(t.Context())
		_, err := tx.Exec(t.Context(), `SELECT FROM stock WHERE sku = 'B' FOR UPDATE NOWAIT`)
		return err
	}))
	f.must(<-reserved)
	f.expect("o-1", inv.Reserved, f.reservedEvent("o-1"))
}
