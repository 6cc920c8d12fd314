package orchestrator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// world is one saga, what its participants have not answered yet, and what happened so far. The
// participants answer in every way that the definition lists; what they themselves decide is the
// subject of their own tests.
type world struct {
	state   State
	sent    []Effect           // every command, in order
	answers map[string][]Input // participant → answers on their way, in order
	held    map[string]bool    // steps that have an effect, as far as the outside knows
	asked   bool               // the cancellation was requested
	gone    bool               // the parcel has left
	knows   bool               // and the order knows, which then accepts no cancellation
	shipped bool               // and the saga knows
	trace   []string
}

func (w world) copy() world {
	c := w
	c.sent, c.trace = slices.Clone(w.sent), slices.Clone(w.trace)
	c.answers, c.held = map[string][]Input{}, maps.Clone(w.held)
	for k, v := range w.answers {
		c.answers[k] = slices.Clone(v)
	}
	return c
}

// key identifies what can still happen: everything but the trace.
func (w world) key() string {
	return fmt.Sprint(w.state, w.sent, w.answers, w.held, w.asked, w.gone, w.knows, w.shipped)
}

// participant returns which service answers a command.
func participant(c Effect) string {
	for _, name := range []string{"Payment", "Inventory", "Shipment", "Order"} {
		if strings.HasSuffix(string(c), name) {
			return name
		}
	}
	return ""
}

// take applies an input and returns one world per way in which the command that it leads to can be
// answered.
func (w world) take(t *testing.T, d Definition, in Input) []world {
	before := w.state
	decision := Decide(d, w.state, in)
	w.trace = append(w.trace, fmt.Sprintf("%s × %s → %s %s", before, in, decision.Next, decision.Effect))
	if decision.Action == Refuse || decision.Attention {
		t.Fatalf("a person is asked for without cause:\n%s", strings.Join(w.trace, "\n"))
	}
	w.state = decision.Next
	w.shipped = w.shipped || w.state == Shipped || w.state == Delivered
	if decision.Effect == NoEffect {
		return []world{w}
	}
	w.sent = append(w.sent, decision.Effect)
	var out []world
	for _, answer := range w.replies(d, decision.Effect) {
		next := w.copy()
		answer(&next)
		out = append(out, next)
	}
	return out
}

// replies returns what a participant may do with a command.
func (w world) replies(d Definition, c Effect) []func(*world) {
	send := func(name string, held bool, answers ...Input) func(*world) {
		return func(w *world) {
			w.held[name] = held
			p := participant(c)
			w.answers[p] = append(w.answers[p], answers...)
		}
	}
	for _, step := range d.Steps {
		switch c {
		case step.Command:
			// Each outcome, and none: the answer of the outside was lost.
			replies := []func(*world){send(step.Name, true, step.Done...)}
			if c == ConfirmOrder && w.knows {
				return []func(*world){send(step.Name, true, Unchanged(c))}
			}
			for _, failed := range step.Failed {
				replies = append(replies, send(step.Name, false, failed))
			}
			if step.Compensation != NoEffect {
				replies = append(replies, send(step.Name, true))
			}
			return replies
		case step.Compensation:
			if step.Pivot && w.gone {
				return []func(*world){send(step.Name, true, ShipmentCancellationRejected)}
			}
			if !w.held[step.Name] {
				return []func(*world){send(step.Name, false, Unchanged(c))}
			}
			var replies []func(*world)
			for _, undone := range step.Undone {
				if !slices.Contains(step.Failed, undone) || undone == ShipmentCancelled {
					// The answer to the command itself may come as late as that.
					replies = append(replies, send(step.Name, false, undone), send(step.Name, false, step.Done[0], undone))
				}
			}
			return replies
		}
	}
	return []func(*world){send("order", false, OrderCancelled)}
}

// moves returns every world that can follow.
func (w world) moves(t *testing.T, d Definition) []world {
	var out []world
	for _, p := range slices.Sorted(maps.Keys(w.answers)) {
		if len(w.answers[p]) == 0 {
			continue
		}
		next := w.copy()
		in := next.answers[p][0]
		next.answers[p] = next.answers[p][1:]
		for _, after := range next.take(t, d, in) {
			out = append(out, after)
			twice := after.copy() // the same answer once more
			if repeated := Decide(d, twice.state, in); repeated.Next != twice.state || repeated.Attention {
				t.Fatalf("%s again in %s: %+v\n%s", in, twice.state, repeated, strings.Join(twice.trace, "\n"))
			}
		}
	}
	if !w.asked && !w.state.Ended() && !w.shipped && !w.knows {
		next := w.copy()
		next.asked = true
		next.trace = append(next.trace, "the customer cancels")
		next.answers["Order"] = append(next.answers["Order"], OrderCancellationRequested)
		out = append(out, next)
	}
	booked := slices.Contains(w.sent, ScheduleShipment) && w.held["schedule"]
	if booked && !w.gone {
		next := w.copy()
		next.gone = true
		next.trace = append(next.trace, "the parcel leaves")
		next.answers["Shipment"] = append(next.answers["Shipment"], ShipmentScheduled, ShipmentDispatched, ShipmentDelivered)
		out = append(out, next)
	}
	if w.gone && !w.knows && !w.asked && !slices.Contains(w.sent, ConfirmOrder) {
		next := w.copy()
		next.knows = true
		next.trace = append(next.trace, "the order learns that the parcel has left, and confirms itself")
		next.answers["Order"] = append(next.answers["Order"], OrderConfirmed)
		out = append(out, next)
	}
	return out
}

// TestEveryArrivalOrderEndsRight explores every outcome of every step, every order in which the
// answers of different participants arrive, lost answers, a cancellation at any moment, and a parcel
// that leaves at any moment after it was booked.
func TestEveryArrivalOrderEndsRight(t *testing.T) {
	for _, d := range Definitions() {
		seen, ends := map[string]bool{}, map[State]int{}
		var explore func(w world)
		explore = func(w world) {
			if seen[w.key()] {
				return
			}
			seen[w.key()] = true
			w.check(t, d)
			next := w.moves(t, d)
			if len(next) == 0 {
				w.end(t, d)
				ends[w.state]++
			}
			for _, n := range next {
				explore(n)
			}
		}
		for _, w := range (world{answers: map[string][]Input{}, held: map[string]bool{}}).take(t, d, OrderCreated) {
			explore(w)
		}
		t.Logf("definition %d: %d states, ends %v", d.Version, len(seen), ends)
		if len(seen) < 150 || ends[Delivered] == 0 || ends[Cancelled] == 0 {
			t.Errorf("definition %d: only %d states, ends %v", d.Version, len(seen), ends)
		}
	}
}

// check demands of the commands so far: forward in the order of the steps, back in the reverse
// order, and the order is closed last.
func (w world) check(t *testing.T, d Definition) {
	forward, turned, last := 0, false, len(d.Steps)
	for _, c := range w.sent {
		i := slices.IndexFunc(d.Steps, func(s Step) bool { return s.Command == c })
		j := slices.IndexFunc(d.Steps, func(s Step) bool { return s.Compensation == c })
		switch {
		case w.shipped && c == CancelShipment:
			continue // it answers a request that came too late
		case i >= 0 && (turned || i != forward):
			t.Fatalf("%s out of order:\n%s", c, strings.Join(w.trace, "\n"))
		case i >= 0:
			forward++
		case j >= 0 && (j >= forward || j >= last):
			t.Fatalf("%s undoes what was not commanded, or twice:\n%s", c, strings.Join(w.trace, "\n"))
		default:
			turned, last = true, j
		}
	}
}

// end demands that the saga is over, and that nothing is left of one that was cancelled.
func (w world) end(t *testing.T, d Definition) {
	switch w.state {
	case Delivered:
	case Cancelled:
		for _, step := range d.Steps {
			if step.Compensation != NoEffect && w.held[step.Name] {
				t.Fatalf("cancelled, and %s is not undone:\n%s", step.Name, strings.Join(w.trace, "\n"))
			}
		}
	default:
		t.Fatalf("nothing can happen any more in %s:\n%s", w.state, strings.Join(w.trace, "\n"))
	}
}
