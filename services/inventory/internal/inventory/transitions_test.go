package inventory

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// want is the table of Decide written a second time, cell by cell.
var want = map[State]map[Input]Decision{
	None: {
		OrderCreated:       {Wait, AwaitingPayment, NoEffect},
		PaymentCompleted:   {Wait, AwaitingItems, NoEffect},
		PaymentFailed:      {Compensate, Cancelled, NoEffect},
		PaymentVoided:      {Compensate, Cancelled, NoEffect},
		ShipmentFailed:     {Compensate, Cancelled, NoEffect},
		ShipmentCancelled:  {Compensate, Cancelled, NoEffect},
		ShipmentDispatched: {Refuse, None, NoEffect},
	},
	AwaitingPayment: {
		OrderCreated:       {Duplicate, AwaitingPayment, NoEffect},
		PaymentCompleted:   {Apply, Reserved, Reserve},
		PaymentFailed:      {Compensate, Cancelled, NoEffect},
		PaymentVoided:      {Compensate, Cancelled, NoEffect},
		ShipmentFailed:     {Compensate, Cancelled, NoEffect},
		ShipmentCancelled:  {Compensate, Cancelled, NoEffect},
		ShipmentDispatched: {Refuse, AwaitingPayment, NoEffect},
	},
	AwaitingItems: {
		OrderCreated:       {Apply, Reserved, Reserve},
		PaymentCompleted:   {Duplicate, AwaitingItems, NoEffect},
		PaymentFailed:      {Compensate, Cancelled, NoEffect},
		PaymentVoided:      {Compensate, Cancelled, NoEffect},
		ShipmentFailed:     {Compensate, Cancelled, NoEffect},
		ShipmentCancelled:  {Compensate, Cancelled, NoEffect},
		ShipmentDispatched: {Refuse, AwaitingItems, NoEffect},
	},
	Reserved: {
		OrderCreated:       {Duplicate, Reserved, NoEffect},
		PaymentCompleted:   {Duplicate, Reserved, NoEffect},
		PaymentFailed:      {Refuse, Reserved, NoEffect},
		PaymentVoided:      {Refuse, Reserved, NoEffect},
		ShipmentFailed:     {Compensate, Released, Release},
		ShipmentCancelled:  {Compensate, Released, Release},
		ShipmentDispatched: {Apply, Shipped, Ship},
	},
	Rejected: {
		OrderCreated:       {Duplicate, Rejected, NoEffect},
		PaymentCompleted:   {Duplicate, Rejected, NoEffect},
		PaymentFailed:      {Duplicate, Rejected, NoEffect},
		PaymentVoided:      {Duplicate, Rejected, NoEffect},
		ShipmentFailed:     {Duplicate, Rejected, NoEffect},
		ShipmentCancelled:  {Duplicate, Rejected, NoEffect},
		ShipmentDispatched: {Refuse, Rejected, NoEffect},
	},
	Released: {
		OrderCreated:       {Duplicate, Released, NoEffect},
		PaymentCompleted:   {Duplicate, Released, NoEffect},
		PaymentFailed:      {Duplicate, Released, NoEffect},
		PaymentVoided:      {Duplicate, Released, NoEffect},
		ShipmentFailed:     {Duplicate, Released, NoEffect},
		ShipmentCancelled:  {Duplicate, Released, NoEffect},
		ShipmentDispatched: {Refuse, Released, NoEffect},
	},
	Cancelled: {
		OrderCreated:       {Refuse, Cancelled, NoEffect},
		PaymentCompleted:   {Refuse, Cancelled, NoEffect},
		PaymentFailed:      {Duplicate, Cancelled, NoEffect},
		PaymentVoided:      {Duplicate, Cancelled, NoEffect},
		ShipmentFailed:     {Duplicate, Cancelled, NoEffect},
		ShipmentCancelled:  {Duplicate, Cancelled, NoEffect},
		ShipmentDispatched: {Refuse, Cancelled, NoEffect},
	},
	Shipped: {
		OrderCreated:       {Duplicate, Shipped, NoEffect},
		PaymentCompleted:   {Duplicate, Shipped, NoEffect},
		PaymentFailed:      {Refuse, Shipped, NoEffect},
		PaymentVoided:      {Refuse, Shipped, NoEffect},
		ShipmentFailed:     {Refuse, Shipped, NoEffect},
		ShipmentCancelled:  {Refuse, Shipped, NoEffect},
		ShipmentDispatched: {Duplicate, Shipped, NoEffect},
	},
}

func TestDecideAnswersEveryPair(t *testing.T) {
	for _, s := range States() {
		for _, in := range Inputs() {
			w, ok := want[s][in]
			if !ok {
				t.Errorf("no expectation for (%q, %s)", s, in)
				continue
			}
			if got := Decide(s, in); got != w {
				t.Errorf("Decide(%q, %s) = %+v, want %+v", s, in, got, w)
			}
		}
	}
}

// world is a shelf with one order's reservation, folded by Decide.
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

// TestEveryArrivalOrderEndsTheSame runs all permutations of what inventory hears
// in each saga, every event up to twice. after lists what an event cannot precede
// because this service's own event causes it.
func TestEveryArrivalOrderEndsTheSame(t *testing.T) {
	sagas := []struct {
		name  string
		stock int64
		heard []Input
		after map[Input]State // the event exists only once this state was reached
		ends  []State
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
				for _, in := range saga.heard {
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
					t.Fatalf("pieces made or lost: %+v", w)
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
			for _, in := range saga.heard {
				left[in] = 2
			}
			play(world{available: saga.stock}, left, nil)
			if runs < 6 {
				t.Fatalf("only %d arrival orders were run", runs)
			}
		})
	}
}

func TestAllocateIsAllOrNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		skus := []string{"A", "B", "C"}
		have := map[string]int64{}
		for _, sku := range skus[:2] { // C is never stocked
			have[sku] = rapid.Int64Range(0, 20).Draw(t, sku)
		}
		items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Item {
			return Item{rapid.SampledFrom(skus).Draw(t, "sku"), rapid.Int64Range(1, 10).Draw(t, "quantity")}
		}), 1, 5).Draw(t, "items")
		need := map[string]int64{}
		for _, it := range items {
			need[it.SKU] += it.Quantity
		}
		short := Allocate(have, items)
		for sku, n := range need {
			i := slices.IndexFunc(short, func(s Shortage) bool { return s.SKU == sku })
			_, known := have[sku]
			if lacks := !known || have[sku] < n; lacks != (i >= 0) {
				t.Fatalf("need %d of %s, have %d (known %v): shortages %+v", n, sku, have[sku], known, short)
			}
		}
	})
}
