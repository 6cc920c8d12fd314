package shop

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/proof/check"
	"eventshop.example/proof/diagram"
	"eventshop.example/services/inventory/inventory"
	"eventshop.example/services/orchestrator/orchestrator"
	"eventshop.example/services/order/order"
	"eventshop.example/services/payment/payment"
	"eventshop.example/services/shipping/shipping"
)

// quick are bounds whose states a test visits in seconds. cmd/proof takes wider ones.
func quick() []Bounds {
	return []Bounds{
		{},
		{Crashes: 1, Lost: 1},
		{Duplicates: 1, Forgotten: 1},
		{Crashes: 1, Forgotten: 1, Lost: 1},
		{Lost: 1, Spent: 1},
		{Crashes: 1, Spent: 2},
	}
}

// report fails with the run in words.
func report(t *testing.T, m *Model, found check.Result[World, Move]) {
	t.Helper()
	t.Logf("%d states, %d transitions, %d at rest, %d steps deep, %s", found.States, found.Transitions, found.Ends, found.Depth, found.Took)
	if found.Breach == nil {
		if !found.Complete {
			t.Fatal("not all states were visited")
		}
		return
	}
	if err := diagram.Text(t.Output(), Columns(found.Path), m.Lines(found.Path)); err != nil {
		t.Error(err)
	}
	t.Fatalf("%s: %s", found.Breach.Invariant, found.Breach.Text)
}

// TestTwoOrdersShareStock runs two orders of the same SKU at random. There is stock for one of them.
func TestTwoOrdersShareStock(t *testing.T) {
	t.Parallel()
	m := New(Real(), Rules{})
	report(t, m, check.Walk(m.System([]Coordination{{}, {}}, Bounds{Crashes: 2, Duplicates: 2, Forgotten: 1, Lost: 2, Spent: 1}, 1), 1000, 1))
}

// TestTwoOrdersOfWrongTables: the random walks find a mistake, too.
func TestTwoOrdersOfWrongTables(t *testing.T) {
	t.Parallel()
	tables := Real()
	tables.Inventory = func(s inventory.State, in inventory.Input) inventory.Decision {
		if s == inventory.Reserved && in == inventory.ShipmentCancelled {
			return inventory.Decision{Action: inventory.Compensate, Next: inventory.Released} // and moves no pieces
		}
		return inventory.Decide(s, in)
	}
	m := New(tables, Rules{})
	found := check.Walk(m.System([]Coordination{{}, {}}, Bounds{}, 1), 3000, 1)
	if found.Breach == nil || found.Breach.Invariant != goods {
		t.Errorf("found %+v, want a breach of %s", found.Breach, goods)
	}
}

// cell is a cell of a table.
type cell struct{ table, state, input string }

// reached collects what runs of the model use of the tables and moves.
type reached struct {
	cells map[cell]bool
	kinds map[kind]bool
	ends  map[string]bool
}

// tables returns the services' tables, and notes each cell that is used.
func (r *reached) tables() Tables {
	return Tables{
		Order: func(o order.Order, m order.Message) order.Decision {
			r.cells[cell{"order", string(o.State), string(m.Input)}] = true
			return o.Decide(m)
		},
		Payment: func(s payment.State, in payment.Input) payment.Decision {
			r.cells[cell{"payment", string(s), string(in)}] = true
			return payment.Decide(s, in)
		},
		Inventory: func(s inventory.State, in inventory.Input) inventory.Decision {
			r.cells[cell{"inventory", string(s), string(in)}] = true
			return inventory.Decide(s, in)
		},
		Shipping: func(s shipping.State, in shipping.Input) shipping.Decision {
			r.cells[cell{"shipping", string(s), string(in)}] = true
			return shipping.Decide(s, in)
		},
		Orchestrator: func(d orchestrator.Definition, s orchestrator.State, in orchestrator.Input) orchestrator.Decision {
			r.cells[cell{"orchestrator", string(s), string(in)}] = true
			return orchestrator.Decide(d, s, in)
		},
	}
}

// watched returns the system, and notes its moves and ends.
func (r *reached) watched(sys check.System[World, Move]) check.System[World, Move] {
	steps, rest := sys.Steps, sys.AtRest
	sys.Steps = func(w World, into []step) []step {
		into = steps(w, into)
		for _, s := range into {
			r.kinds[s.Move.kind] = true
		}
		return into
	}
	sys.AtRest = func(w World) *check.Breach {
		s := &w.sagas[0]
		r.ends[fmt.Sprintf("%s %s %s %s", s.order.state, s.payment.state, s.inventory, s.shipping.state)] = true
		return rest(w)
	}
	return sys
}

// TestOneOrder visits all states of one order within the quick bounds, with stock and without. A
// model in which little happens violates nothing, so it also checks what the model reaches: every
// state and every input of the tables, every kind of move, and each way to end.
func TestOneOrder(t *testing.T) {
	t.Parallel()
	r := &reached{map[cell]bool{}, map[kind]bool{}, map[string]bool{}}
	m := New(r.tables(), Rules{})
	page := r.visit(t, m, Coordination{}, quick())
	for k := range feedLine + 1 {
		// No real table needs another answer in the transaction than before it: the request depends on
		// the input alone.
		if !r.kinds[k] && k != triesAgain && k != passesDue && k != retriesCommand {
			t.Errorf("no move %q", m.text(Move{kind: k}).Text)
		}
	}
	// No other service receives anything of a draft.
	drafts := []order.State{order.None, order.Draft, order.Discarded}
	// The commands are those of the orchestrated saga.
	cells := expect(t, r, "order", without(order.States(), drafts...), without(order.Inputs(), order.ConfirmOrder, order.CancelOrder)) +
		expect(t, r, "payment", payment.States(), without(payment.Inputs(), payment.ChargePayment, payment.RefundPayment)) +
		expect(t, r, "inventory", inventory.States(), without(inventory.Inputs(), inventory.ReserveInventory, inventory.ReleaseInventory)) +
		expect(t, r, "shipping", shipping.States(), without(shipping.Inputs(), shipping.ScheduleShipment, shipping.CancelShipment))
	if used := fmt.Sprintf("%d of the %d cells", len(r.cells), cells); !strings.Contains(page, used) {
		t.Errorf("README.md does not say %q", used)
	}
	want := []string{
		"DELIVERED COMPLETED SHIPPED DELIVERED",  // as it should be
		"CANCELLED FAILED CANCELLED CANCELLED",   // the card was declined
		"CANCELLED REFUNDED REJECTED CANCELLED",  // out of stock
		"CANCELLED REFUNDED RELEASED FAILED",     // the carrier refused
		"CANCELLED REFUNDED RELEASED CANCELLED",  // cancelled in time
		"CANCELLED VOIDED CANCELLED CANCELLED",   // cancelled before the charge
		"CANCELLED REFUNDED CANCELLED CANCELLED", // cancelled before the reservation
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(r.ends))); diff != "" {
		t.Errorf("ways to end: order, payment, reservation, shipment (-want +got):\n%s", diff)
	}
}

// visit visits all states of one order within each of the bounds, and compares with the figures of
// README.md, which it returns.
func (r *reached) visit(t *testing.T, m *Model, how Coordination, bounds []Bounds) string {
	t.Helper()
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bounds {
		t.Log(b)
		found := check.Explore(r.watched(m.System([]Coordination{how}, b, 0, 1)), 0)
		report(t, m, found)
		row := fmt.Sprintf("| %s | %s | %s | %d |", b, thousands(found.States), thousands(found.Transitions), found.Depth)
		if !strings.Contains(string(page), "\n"+row+"\n") {
			t.Errorf("README.md does not have the line %s", row)
		}
	}
	return string(page)
}

// thousands writes a number with commas.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

func without[S comparable](all []S, these ...S) []S {
	return slices.DeleteFunc(slices.Clone(all), func(s S) bool { return slices.Contains(these, s) })
}

// expect checks that all states and inputs of a table are used, and returns the number of its cells.
func expect[S, I ~string](t *testing.T, r *reached, table string, states []S, inputs []I) int {
	t.Helper()
	used := map[string]bool{}
	for c := range r.cells {
		if c.table == table {
			used["state "+c.state], used["input "+c.input] = true, true
		}
	}
	for _, s := range states {
		if !used["state "+string(s)] {
			t.Errorf("%s is never asked in state %q", table, s)
		}
	}
	for _, in := range inputs {
		if !used["input "+string(in)] {
			t.Errorf("%s never receives %s", table, in)
		}
	}
	return len(states) * len(inputs)
}

// TestSubscribedFactsAreInputs: the record of an event and its input at a group have the same name,
// which the model relies on, and every group receives something of the topics.
func TestSubscribedFactsAreInputs(t *testing.T) {
	t.Parallel()
	m := New(Real(), Rules{})
	for style, receives := range m.receives {
		received := [participants]int{}
		for f, groups := range receives {
			known := [participants]bool{
				slices.Contains(order.Inputs(), order.Input(m.facts[f])), slices.Contains(payment.Inputs(), payment.Input(m.facts[f])),
				slices.Contains(inventory.Inputs(), inventory.Input(m.facts[f])), slices.Contains(shipping.Inputs(), shipping.Input(m.facts[f])),
				slices.Contains(orchestrator.Inputs(), orchestrator.Input(m.facts[f])),
			}
			for group, name := range names {
				if groups&(1<<group) == 0 {
					continue
				}
				received[group]++
				if !known[group] {
					t.Errorf("%s receives %s, which is no input of its table", name, m.facts[f])
				}
			}
		}
		for group, n := range received {
			if (n == 0) != (group == coordinator && Style(style) == Choreographed) {
				t.Errorf("%s: %s receives %d types", Style(style), names[group], n)
			}
		}
	}
}

// TestTheRowIsTheOrder: whatever has happened to an order, the row of the model decides as the order
// does that is folded from all its events.
func TestTheRowIsTheOrder(t *testing.T) {
	t.Parallel()
	m := New(Real(), Rules{})
	start := m.System([]Coordination{{}}, Bounds{}, 1).Starts[0].sagas[0].order
	type pair struct {
		full order.Order
		row  orderRow
	}
	seen, open := map[orderRow]bool{}, []pair{{start.whole(), start}}
	for len(open) > 0 {
		p := open[0]
		open = open[1:]
		for _, in := range order.Inputs() {
			want, got := p.full.Decide(order.Message{Input: in}), p.row.whole().Decide(order.Message{Input: in})
			if want.Action != got.Action || want.Effect != got.Effect || eventNames(want.Emit) != eventNames(got.Emit) {
				t.Fatalf("%+v decides %+v about %s, its row %+v decides %+v", p.full, want, in, p.row, got)
			}
			next := pair{full: p.full.Fold(want.Emit...)}
			next.row.project(p.row.whole().Fold(got.Emit...))
			if !seen[next.row] {
				seen[next.row] = true
				open = append(open, next)
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d rows were compared", len(seen))
	}
}

func eventNames(events []order.Event) string {
	var names []string
	for _, e := range events {
		names = append(names, e.Name())
	}
	return fmt.Sprint(names)
}
