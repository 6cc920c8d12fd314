package inventory

import (
	"slices"
	"testing"
)

// world is a stock with the reservation of one order, folded by Decide.
type world struct {
	state               State
	available, reserved int64
	shipped             int64
	emitted             []string
}

const pieces = 3

func (w *world) on(in Input) {
	d := Decide(w.state, in)
	w.state = d.Next
	switch d.Effect {
	case Reserve:
		if short := Allocate(map[string]int64{"A": w.available}, []Item{{"A", pieces}}); len(short) > 0 {
			w.state = Rejected
			w.emitted = append(w.emitted, "InventoryReservationFailed")
			return
		}
		w.available, w.reserved = w.available-pieces, w.reserved+pieces
		w.emitted = append(w.emitted, "InventoryReserved")
	case Release:
		w.available, w.reserved = w.available+pieces, w.reserved-pieces
		w.emitted = append(w.emitted, "InventoryReleased")
	case Ship:
		w.reserved, w.shipped = w.reserved-pieces, w.shipped+pieces
	}
}

// TestEveryArrivalOrderEndsTheSame runs all permutations of the events that inventory receives in
// each saga, with every event up to twice. after lists the events that an event of this service
// causes, so that they cannot come before it.
func TestEveryArrivalOrderEndsTheSame(t *testing.T) {
	sagas := []struct {
		name     string
		stock    int64
		receives []Input
		after    map[Input]State // the event exists only after this state was reached
		ends     []State
	}{
		{"happy", 10, []Input{OrderCreated, PaymentCompleted, ShipmentDispatched}, map[Input]State{ShipmentDispatched: Reserved}, []State{Shipped}},
		{"declined", 10, []Input{OrderCreated, PaymentFailed}, nil, []State{Cancelled}},
		{"out of stock", 0, []Input{OrderCreated, PaymentCompleted}, nil, []State{Rejected}},
		{"carrier refuses", 10, []Input{OrderCreated, PaymentCompleted, ShipmentFailed}, map[Input]State{ShipmentFailed: Reserved}, []State{Released}},
		{"cancelled", 10, []Input{OrderCreated, PaymentCompleted, ShipmentCancelled}, nil, []State{Released, Cancelled}},
		{"cancelled, nothing charged", 10, []Input{OrderCreated, PaymentVoided, ShipmentCancelled}, nil, []State{Cancelled}},
		{"cancelled while out of stock", 0, []Input{OrderCreated, PaymentCompleted, ShipmentCancelled}, nil, []State{Rejected, Cancelled}},
	}
	for _, saga := range sagas {
		t.Run(saga.name, func(t *testing.T) {
			runs := 0
			var play func(w world, left map[Input]int, reached []State)
			play = func(w world, left map[Input]int, reached []State) {
				moved := false
				for _, in := range saga.receives {
					if left[in] == 0 {
						continue
					}
					if need, ok := saga.after[in]; ok && !slices.Contains(reached, need) {
						continue
					}
					moved = true
					next := w
					next.emitted = slices.Clone(w.emitted)
					next.on(in)
					rest := map[Input]int{}
					for k, v := range left {
						rest[k] = v
					}
					rest[in]--
					play(next, rest, append(slices.Clone(reached), next.state))
				}
				if moved {
					return
				}
				runs++
				if !slices.Contains(saga.ends, w.state) {
					t.Fatalf("ended as %q after %v, want one of %v", w.state, reached, saga.ends)
				}
				if w.available+w.reserved+w.shipped != saga.stock {
					t.Fatalf("pieces created or lost: %+v", w)
				}
				if w.state != Reserved && w.reserved != 0 {
					t.Fatalf("%q still holds %d pieces", w.state, w.reserved)
				}
				for i, e := range w.emitted {
					if slices.Contains(w.emitted[:i], e) {
						t.Fatalf("%s emitted twice: %v", e, w.emitted)
					}
				}
			}
			left := map[Input]int{}
			for _, in := range saga.receives {
				left[in] = 2
			}
			play(world{available: saga.stock}, left, nil)
			if runs < 6 {
				t.Fatalf("only %d arrival orders were run", runs)
			}
		})
	}
}
