package app_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox/outboxtest"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/inventory/internal/app"
	inv "eventshop.example/services/inventory/inventory"
)

// reserveStep returns a step of the command to reserve pieces of SKUs.
func (f *fixture) reserveStep(id string, items ...events.ItemToReserve) reaction.Step[app.Input] {
	return stepOf(f, event.Orchestrated, app.OnReserveInventory, events.ReserveInventory{OrderID: id, Items: items, OccurredAt: time.Now()})
}

// releaseStep returns a step of the command to release them, because the customer has cancelled.
func (f *fixture) releaseStep(id string) reaction.Step[app.Input] {
	return stepOf(f, event.Orchestrated, app.OnReleaseInventory, events.ReleaseInventory{OrderID: id, Reason: "customer", OccurredAt: time.Now()})
}

// TestEveryCommandInEveryState: a command leads to exactly one event, the fact of its step or the
// answer. The event has the next version, the order's style and the command as its cause.
func TestEveryCommandInEveryState(t *testing.T) {
	const reserve, release = inv.ReserveInventory, inv.ReleaseInventory
	f := newEventsFixture(t, nil)
	for _, c := range []struct {
		command inv.Input
		state   inv.State
		after   inv.State
		emits   string
		outcome inv.Answer // of InventoryCommandAnswered
		counts  string     // of the SKU, of which the order has two pieces
	}{
		{reserve, inv.None, inv.Reserved, "InventoryReserved", "", "3/2/0"},
		{reserve, inv.AwaitingPayment, inv.Reserved, "InventoryReserved", "", "3/2/0"},
		{reserve, inv.AwaitingItems, inv.Reserved, "InventoryReserved", "", "3/2/0"},
		{reserve, inv.Reserved, inv.Reserved, "InventoryCommandAnswered", inv.Unchanged, "3/2/0"},
		{reserve, inv.Rejected, inv.Rejected, "InventoryCommandAnswered", inv.Refused, "5/0/0"},
		{reserve, inv.Released, inv.Released, "InventoryCommandAnswered", inv.Refused, "5/0/0"},
		{reserve, inv.Cancelled, inv.Cancelled, "InventoryCommandAnswered", inv.Refused, "5/0/0"},
		{reserve, inv.Shipped, inv.Shipped, "InventoryCommandAnswered", inv.Unchanged, "3/0/2"},
		{release, inv.None, inv.Cancelled, "InventoryCommandAnswered", inv.Unchanged, "5/0/0"},
		{release, inv.AwaitingPayment, inv.Cancelled, "InventoryCommandAnswered", inv.Unchanged, "5/0/0"},
		{release, inv.AwaitingItems, inv.Cancelled, "InventoryCommandAnswered", inv.Unchanged, "5/0/0"},
		{release, inv.Reserved, inv.Released, "InventoryReleased", "", "5/0/0"},
		{release, inv.Rejected, inv.Rejected, "InventoryCommandAnswered", inv.Unchanged, "5/0/0"},
		{release, inv.Released, inv.Released, "InventoryCommandAnswered", inv.Unchanged, "5/0/0"},
		{release, inv.Cancelled, inv.Cancelled, "InventoryCommandAnswered", inv.Unchanged, "5/0/0"},
		{release, inv.Shipped, inv.Shipped, "InventoryCommandAnswered", inv.Refused, "3/0/2"},
	} {
		id := string(c.command) + " in " + string(c.state)
		f.must(f.app.Seed(t.Context(), map[string]int64{id: 5}))
		f.place(id, c.state)
		step := f.reserveStep(id, events.ItemToReserve{SKU: id, Quantity: 2})
		if c.command == release {
			step = f.releaseStep(id)
		}
		f.must(f.take(step))
		if got := f.reservation(id); got.State != c.after || got.Style != event.Orchestrated || got.Attention != "" {
			t.Errorf("%s: %+v, want state %q", id, got, c.after)
		}
		f.expectCounts(id, c.counts)
		version := int64(placedVersion + 1)
		if c.state == inv.None {
			version = 1
		}
		f.expectOne(id, c.emits, version, step.Cause.CausationID)
		if c.outcome == "" {
			continue
		}
		var payload []byte
		f.must(f.pool.QueryRow(t.Context(), `SELECT payload FROM outbox WHERE aggregate_id = $1`, id).Scan(&payload))
		got, err := f.codec.Decode(t.Context(), events.TypeOf[events.InventoryCommandAnswered](), payload)
		f.must(err)
		want := &events.InventoryCommandAnswered{OrderID: id, Command: string(c.command), Outcome: string(c.outcome), State: string(c.after), OccurredAt: noon}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

// placedVersion is the version of a reservation that place has stored.
const placedVersion = 7

// place stores the reservation of an orchestrated order for two pieces of the SKU with its name, of
// which there are five. The state None has no row.
func (f *fixture) place(id string, state inv.State) {
	f.t.Helper()
	if state == inv.None {
		return
	}
	exec := func(sql string, args ...any) {
		_, err := f.pool.Exec(f.t.Context(), sql, args...)
		f.must(err)
	}
	exec(`INSERT INTO reservations (order_id, state, reservation_id, version, saga_style, updated_at)
		VALUES ($1, $2, gen_random_uuid(), $3, 'orchestrated', now())`, id, string(state), placedVersion)
	if state != inv.AwaitingItems && state != inv.Cancelled {
		exec(`INSERT INTO reservation_items (order_id, sku, quantity) VALUES ($1, $1, 2)`, id)
	}
	switch state {
	case inv.Reserved:
		exec(`UPDATE stock SET available = 3, reserved = 2 WHERE sku = $1`, id)
	case inv.Shipped:
		exec(`UPDATE stock SET available = 3, shipped = 2 WHERE sku = $1`, id)
	}
}

// expectOne checks that the order has one event in the outbox, with this version and cause.
func (f *fixture) expectOne(id, name string, version int64, cause string) {
	f.t.Helper()
	want := []outboxtest.Row{{Event: fmt.Sprintf("%s@%d", name, version), Style: "orchestrated", Cause: cause}}
	if diff := cmp.Diff(want, outboxtest.Rows(f.t, f.pool, id)); diff != "" {
		f.t.Errorf("%s emitted (-want +got):\n%s", id, diff)
	}
	if v := f.reservation(id).Version; v != version {
		f.t.Errorf("%s has version %d, want %d", id, v, version)
	}
}

// TestLifeOfAnOrchestratedReservation: reserved by a command, and released by one or shipped. A command
// that is sent again is answered again and moves nothing.
func TestLifeOfAnOrchestratedReservation(t *testing.T) {
	f := newEventsFixture(t, map[string]int64{"A": 5, "B": 3})
	items := []events.ItemToReserve{{SKU: "B", Quantity: 3}, {SKU: "A", Quantity: 2}}
	answered := func(command inv.Input, outcome inv.Answer, state inv.State) *events.InventoryCommandAnswered {
		return &events.InventoryCommandAnswered{OrderID: "o-1", Command: string(command), Outcome: string(outcome), State: string(state), OccurredAt: noon}
	}
	f.must(f.take(f.reserveStep("o-1", items...)))
	f.must(f.take(f.reserveStep("o-1", items...)))
	held, again := f.reservedEvent("o-1"), answered(inv.ReserveInventory, inv.Unchanged, inv.Reserved)
	f.expect("o-1", inv.Reserved, held, again)
	f.expectCounts("A", "3/2/0")
	f.expectCounts("B", "0/3/0")
	f.must(f.take(f.releaseStep("o-1")))
	f.must(f.take(f.releaseStep("o-1")))
	f.expect("o-1", inv.Released, held, again,
		&events.InventoryReleased{OrderID: "o-1", ReservationID: held.ReservationID, Items: held.Items, Reason: "customer", OccurredAt: noon},
		answered(inv.ReleaseInventory, inv.Unchanged, inv.Released))
	f.expectCounts("A", "5/0/0")
	f.expectCounts("B", "3/0/0")

	f.must(f.take(f.reserveStep("o-2", items...)))
	for range 2 {
		f.must(receiveOf(f.fixture, event.Orchestrated, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: "o-2"}))
	}
	f.expect("o-2", inv.Shipped, f.reservedEvent("o-2"))
	f.expectCounts("A", "3/0/2")

	f.must(f.take(f.reserveStep("o-3", items...)))
	f.expect("o-3", inv.Rejected, &events.InventoryReservationFailed{
		OrderID: "o-3", Reason: "out_of_stock", Shortages: []events.Shortage{{SKU: "B", Requested: 3}}, OccurredAt: noon,
	})
	f.expectCounts("A", "3/0/2")
}

// TestAReleaseCommandBeforeTheReservation leaves a tombstone, in one transaction and in two.
func TestAReleaseCommandBeforeTheReservation(t *testing.T) {
	f := newEventsFixture(t, map[string]int64{"A": 5})
	f.must(f.take(f.releaseStep("o-1")))
	f.must(f.take(f.reserveStep("o-1", events.ItemToReserve{SKU: "A", Quantity: 2})))
	f.must(f.take(f.releaseStep("o-2"), f.reserveStep("o-2", events.ItemToReserve{SKU: "A", Quantity: 2})))
	for _, id := range []string{"o-1", "o-2"} {
		f.expect(id, inv.Cancelled,
			&events.InventoryCommandAnswered{OrderID: id, Command: "ReleaseInventory", Outcome: "unchanged", State: "CANCELLED", OccurredAt: noon},
			&events.InventoryCommandAnswered{OrderID: id, Command: "ReserveInventory", Outcome: "refused", State: "CANCELLED", OccurredAt: noon})
	}
	f.expectCounts("A", "5/0/0")
}
