package shipping

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// world is the shipment of one order, its carrier, and what is in progress. It is a value: every
// move copies it, so all orders of moves can be explored.
type world struct {
	state   State
	emitted string // facts, each followed by a space

	carrier   string // "", scheduled, refused, cancelled, dispatched, delivered
	feed      string // updates not yet polled: "d" dispatched, "D" delivered
	lastPoll  string // the previous update, for a feed that repeats itself
	canRepeat bool

	left [5]int // how often each event can still arrive, in the order of Inputs
	lose int    // answers of the carrier that can still get lost

	strayed bool // the parcel has left although the carrier had answered that it would not
}

// saga is what happens to an order outside shipping.
type saga struct {
	name     string
	receives []Input
	refuses  bool // the carrier refuses the address
	sits     bool // the parcel never leaves during the test
	strays   bool // the carrier breaks its promise: a refused or cancelled parcel can leave
	ends     []State
}

func sagas() []saga {
	return []saga{
		{name: "happy", receives: []Input{OrderCreated, InventoryReserved}, ends: []State{Delivered}},
		{name: "carrier refuses", receives: []Input{OrderCreated, InventoryReserved}, refuses: true, ends: []State{Failed}},
		{name: "declined", receives: []Input{OrderCreated, PaymentFailed}, ends: []State{Cancelled}},
		{name: "out of stock", receives: []Input{OrderCreated, InventoryReservationFailed}, ends: []State{Cancelled}},
		{name: "cancelled, parcel sits", receives: []Input{OrderCreated, InventoryReserved, OrderCancellationRequested}, sits: true, ends: []State{Cancelled}},
		{name: "cancelled at any time", receives: []Input{OrderCreated, InventoryReserved, OrderCancellationRequested}, ends: []State{Cancelled, Delivered}},
		{name: "cancelled before the reservation", receives: []Input{OrderCreated, OrderCancellationRequested}, ends: []State{Cancelled}},
		{name: "cancelled and refused", receives: []Input{OrderCreated, InventoryReserved, OrderCancellationRequested}, refuses: true, ends: []State{Cancelled, Failed}},
		{name: "cancelled and declined", receives: []Input{OrderCreated, PaymentFailed, OrderCancellationRequested}, ends: []State{Cancelled}},
		{name: "cancelled and out of stock", receives: []Input{OrderCreated, InventoryReservationFailed, OrderCancellationRequested}, ends: []State{Cancelled}},
		{name: "refused and sent", receives: []Input{OrderCreated, InventoryReserved}, refuses: true, strays: true, ends: []State{Failed, Delivered}},
		{name: "cancelled and sent", receives: []Input{OrderCreated, InventoryReserved, OrderCancellationRequested}, strays: true, ends: []State{Cancelled, Delivered}},
	}
}

// TestEveryArrivalOrderEndsRight explores every order in which the events of a saga reach shipping,
// each up to twice. It combines them in every way with parcels that leave and arrive, feed updates
// that are read late and twice, and up to two answers of the carrier that are lost after it acted.
func TestEveryArrivalOrderEndsRight(t *testing.T) {
	for _, s := range sagas() {
		t.Run(s.name, func(t *testing.T) {
			start := world{lose: 2}
			for _, in := range s.receives {
				start.left[slices.Index(Inputs(), in)] = 2
			}
			seen := map[world]bool{}
			ends := map[State]bool{}
			var explore func(w world)
			explore = func(w world) {
				if seen[w] {
					return
				}
				seen[w] = true
				if problem := w.broken(); problem != "" {
					t.Fatalf("%s: %+v", problem, w)
				}
				next := s.moves(w)
				if len(next) == 0 {
					if problem := s.endsWrong(w); problem != "" {
						t.Fatalf("%s: %+v", problem, w)
					}
					ends[w.state] = true
				}
				for _, n := range next {
					explore(n)
				}
			}
			explore(start)
			for _, end := range s.ends {
				if !ends[end] {
					t.Errorf("no order of events ended in %q", end)
				}
			}
			for end := range ends {
				if !slices.Contains(s.ends, end) {
					t.Errorf("an order of events ended in %q, want one of %v", end, s.ends)
				}
			}
		})
	}
}

// moves lists everything that can happen next.
func (s saga) moves(w world) []world {
	var next []world
	for i, n := range w.left {
		if n == 0 {
			continue
		}
		in := Inputs()[i]
		d := Decide(w.state, in)
		if d.Effect == NoEffect {
			done := w
			done.left[i]--
			next = append(next, done.apply(d))
			continue
		}
		asked, answer := s.call(w, d.Effect)
		if w.lose > 0 && asked.carrier != w.carrier {
			lost := asked
			lost.lose--
			next = append(next, lost) // the event is not finished; it is delivered again
		}
		done := asked
		done.left[i]--
		next = append(next, done.apply(Decide(done.state, answer)))
	}
	if s.strays && (w.carrier == "refused" || w.carrier == "cancelled") {
		left := w
		left.carrier, left.feed, left.strayed = "dispatched", w.feed+"d", true
		next = append(next, left)
	}
	switch {
	case w.carrier == "scheduled" && !s.sits:
		left := w
		left.carrier, left.feed = "dispatched", w.feed+"d"
		next = append(next, left)
	case w.carrier == "dispatched":
		arrived := w
		arrived.carrier, arrived.feed = "delivered", w.feed+"D"
		next = append(next, arrived)
	}
	if w.feed != "" {
		polled := w
		polled.feed, polled.lastPoll, polled.canRepeat = w.feed[1:], w.feed[:1], true
		next = append(next, polled.apply(Decide(w.state, update(w.feed[:1]))))
	}
	if w.canRepeat {
		again := w
		again.canRepeat = false
		next = append(next, again.apply(Decide(w.state, update(w.lastPoll))))
	}
	return next
}

func update(letter string) Input {
	if letter == "d" {
		return ParcelDispatched
	}
	return ParcelDelivered
}

// call is the carrier. It is idempotent by key, refuses a cancelled key, and cancels a parcel that
// has not left.
func (s saga) call(w world, ask Effect) (world, Input) {
	if ask == Cancel {
		switch w.carrier {
		case "dispatched", "delivered":
			return w, CarrierDeparted
		case "refused":
			return w, CarrierCancelled
		}
		w.carrier = "cancelled"
		return w, CarrierCancelled
	}
	if w.carrier == "" {
		w.carrier = "scheduled"
		if s.refuses {
			w.carrier = "refused"
		}
	}
	switch w.carrier {
	case "refused":
		return w, CarrierRefused
	case "cancelled":
		return w, CarrierStopped
	}
	return w, CarrierAccepted
}

func (w world) apply(d Decision) world {
	w.state = d.Next
	for _, f := range EmitDispatchOnce(d, w.count(ShipmentDispatched) > 0).Emit {
		w.emitted += string(f) + " "
	}
	return w
}

func (w world) count(f Fact) int { return strings.Count(w.emitted, string(f)+" ") }

// broken returns the violated rule of the emitted events.
func (w world) broken() string {
	for _, f := range []Fact{ShipmentScheduled, ShipmentFailed, ShipmentDispatched, ShipmentDelivered, ShipmentCancelled} {
		if n := w.count(f); n > 1 {
			return fmt.Sprintf("%s emitted %d times", f, n)
		}
	}
	before := func(first, second Fact) bool {
		i := strings.Index(w.emitted, string(second)+" ")
		j := strings.Index(w.emitted, string(first)+" ")
		return i < 0 || (j >= 0 && j < i)
	}
	switch {
	case !before(ShipmentScheduled, ShipmentDispatched) && !w.strayed:
		return "dispatched without having been scheduled"
	case !before(ShipmentDispatched, ShipmentDelivered):
		return "delivered without having been dispatched"
	case !before(ShipmentDispatched, ShipmentCancellationRejected):
		return "a cancellation was rejected before the dispatch was emitted"
	case w.count(ShipmentDispatched) > 0 && w.count(ShipmentCancelled)+w.count(ShipmentFailed) > 0 && !w.strayed:
		return "dispatched and called off"
	case w.count(ShipmentCancelled) > 0 && w.count(ShipmentFailed) > 0:
		return "called off twice"
	}
	return ""
}

// endsWrong returns what is wrong when nothing more can happen: the row must agree with the
// carrier, whatever the order of moves.
func (s saga) endsWrong(w world) string {
	switch w.carrier {
	case "delivered":
		if w.strayed && (w.state == Failed || w.state == Cancelled) {
			if w.count(ShipmentDispatched) != 1 {
				return "what was called off has left and the dispatch was not emitted once"
			}
			return ""
		}
		if w.state != Delivered || w.count(ShipmentDelivered) != 1 {
			return "the parcel arrived and the delivery was not emitted once"
		}
	case "cancelled":
		// No service waits for an answer in a saga that ended by itself (declined, out of stock).
		abandoned := slices.Contains(s.receives, PaymentFailed) || slices.Contains(s.receives, InventoryReservationFailed)
		if w.state != Cancelled || (w.count(ShipmentCancelled) != 1 && !abandoned) {
			return "the carrier cancelled and the cancellation was not emitted once"
		}
	case "refused":
		if w.count(ShipmentFailed)+w.count(ShipmentCancelled) != 1 {
			return "the carrier refused and no end was emitted once"
		}
	case "":
		if w.state != Cancelled {
			return "the order is stuck"
		}
	default:
		return "the test ended too early"
	}
	return ""
}
