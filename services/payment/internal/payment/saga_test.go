package payment

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// world is one order's payment, the gateway's ledger about it, and what is under way. It
// is a value: every move copies it, so all orders of moves can be explored.
type world struct {
	state   State
	emitted string // facts, each followed by a space

	// The ledger: what the gateway knows under the order's charge key, and whether it
	// was refunded. Net money is captured and not refunded.
	key      string // "", captured, declined, voided
	refunded bool

	left  [4]int // how often each event may still arrive, in the order of events()
	flyer flyer  // a charge that one process makes while others go on
	ghost bool   // a charge nobody waits for any more, which has not reached the gateway yet
	void  string // "", asked, or the answer the worker has not recorded yet
	lose  int    // answers of the gateway, or transactions after them, that may still get lost
	spent int    // times the attempts may still run out
	waits bool   // a void that got no answer has been told, and nobody has started it again
	alarm bool   // the gateway was taken to contradict itself, which it never does here
	odd   int    // times the gateway may still refuse a charge without looking at its key
	hand  bool   // a person may still void the key at the gateway
}

// flyer is a call made before its transaction: sent, answered, and then recorded or not.
// One that the gateway refused has its key closed in between.
type flyer struct {
	sent    bool
	refused bool
	answer  Input
}

func events() []Input {
	return []Input{OrderCreated, InventoryReservationFailed, ShipmentFailed, ShipmentCancelled}
}

type saga struct {
	name     string
	heard    []Input
	declines bool
	spent    int
	hand     bool
	odd      int
	ends     []State
}

func sagas() []saga {
	undone := []State{Voided, Refunded}
	return []saga{
		{name: "happy", heard: []Input{OrderCreated}, ends: []State{Completed}},
		{name: "declined", heard: []Input{OrderCreated}, declines: true, ends: []State{Failed}},
		{name: "out of stock", heard: []Input{OrderCreated, InventoryReservationFailed}, ends: undone},
		{name: "carrier refuses", heard: []Input{OrderCreated, ShipmentFailed}, ends: undone},
		{name: "cancelled", heard: []Input{OrderCreated, ShipmentCancelled}, ends: undone},
		{name: "cancelled and declined", heard: []Input{OrderCreated, ShipmentCancelled}, declines: true, ends: []State{Failed, Voided}},
		{name: "cancelled and out of stock", heard: []Input{OrderCreated, InventoryReservationFailed, ShipmentCancelled}, ends: undone},
		{name: "everything goes wrong", heard: events(), ends: undone},
		{name: "the gateway is away for long", heard: []Input{OrderCreated, ShipmentCancelled}, spent: 2, ends: undone},
		{name: "voided by hand, then the deadline", heard: []Input{OrderCreated, ShipmentCancelled}, hand: true, ends: undone},
		{name: "the gateway is away for long, then it declines", heard: []Input{OrderCreated, ShipmentCancelled}, declines: true, spent: 2,
			ends: []State{Failed, Voided}},
		{name: "refused at times, then the deadline", heard: []Input{OrderCreated, ShipmentCancelled}, odd: 2,
			ends: []State{Failed, Voided, Refunded}},
		{name: "refused at times and declined", heard: []Input{OrderCreated, ShipmentCancelled}, odd: 2, declines: true,
			ends: []State{Failed, Voided}},
		{name: "cancelled, never created", heard: []Input{ShipmentCancelled}, ends: []State{Voided}},
	}
}

// TestEveryArrivalOrderEndsRight explores every order in which a saga's events reach
// payment, each up to twice, mixed in every way with charges, voids and refunds under
// way in other processes, answers lost after the gateway acted, crashes between a call
// and its transaction, attempts that ran out and were started again, charges that the
// gateway refuses at one time and not at another, and a person who voids the key at the
// gateway.
func TestEveryArrivalOrderEndsRight(t *testing.T) {
	for _, s := range sagas() {
		t.Run(s.name, func(t *testing.T) {
			start := world{state: None, lose: 2, spent: s.spent, hand: s.hand, odd: s.odd}
			for _, in := range s.heard {
				start.left[slices.Index(events(), in)] = 2
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
					t.Errorf("no order of events ended in %s", end)
				}
			}
			for end := range ends {
				if !slices.Contains(s.ends, end) {
					t.Errorf("an order of events ended in %s, want one of %v", end, s.ends)
				}
			}
			t.Logf("%d worlds", len(seen))
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
		d := Decide(w.state, events()[i])
		if d.Charge {
			if !w.flyer.sent {
				sent := w
				sent.flyer.sent = true
				next = append(next, sent)
			}
			continue
		}
		done := w
		done.left[i]--
		next = append(next, done.apply(d))
	}
	next = append(next, s.charges(w)...)
	next = append(next, w.returns()...)
	if w.ghost {
		arrived := s.charge(w)
		arrived.ghost = false
		next = append(next, arrived)
	}
	if w.hand && w.key == "" {
		voided := w
		voided.key, voided.hand = "voided", false
		next = append(next, voided)
	}
	if w.state == RefundFailed || w.waits && w.state == Voiding {
		retried := w.apply(Decide(w.state, RetryRefund)) // an operator
		retried.waits = false
		next = append(next, retried)
	}
	return next
}

// charges moves the charge that is under way.
func (s saga) charges(w world) []world {
	if !w.flyer.sent {
		return nil
	}
	if w.flyer.refused && w.flyer.answer == "" {
		return w.closes()
	}
	if w.flyer.answer == "" {
		asked := s.charge(w)
		answered := asked
		answered.flyer.answer = map[string]Input{"captured": ChargeCaptured, "declined": ChargeDeclined, "voided": ChargeStopped}[asked.key]
		next := []world{answered}
		if w.odd > 0 {
			refused := w
			refused.odd--
			refused.flyer.refused = true
			next = append(next, refused)
		}
		if w.lose > 0 {
			lost := asked // the gateway acted, nobody heard of it; the event comes again
			lost.lose--
			lost.flyer = flyer{}
			late := w // the caller timed out, the request is still on its way
			late.lose--
			late.flyer, late.ghost = flyer{}, true
			next = append(next, lost, late)
		}
		return next
	}
	recorded := w
	recorded.flyer = flyer{}
	recorded.left[0]--
	next := []world{recorded.apply(Decide(w.state, w.flyer.answer))}
	if w.lose > 0 {
		crashed := w // the call is done, its transaction never happens
		crashed.lose--
		crashed.flyer = flyer{}
		next = append(next, crashed)
	}
	return next
}

// closes moves a refused charge, whose key is voided before anybody believes the refusal.
func (w world) closes() []world {
	if w.key == "" {
		w.key = "voided"
	}
	heard := w
	heard.flyer.answer = ChargeDeclined
	if w.key == "captured" {
		heard.flyer.answer = ChargeCaptured
	}
	next := []world{heard}
	if w.lose > 0 {
		lost := w
		lost.lose--
		lost.flyer = flyer{}
		next = append(next, lost)
	}
	return next
}

// charge is the gateway: one key, one answer for ever.
func (s saga) charge(w world) world {
	switch {
	case w.key != "":
	case s.declines:
		w.key = "declined"
	default:
		w.key = "captured"
	}
	return w
}

// returns moves the worker: it asks, and later records what it heard. In between the
// state may change, and the answer may get lost.
func (w world) returns() []world {
	var next []world
	switch {
	case w.void == "" && w.state.Returning():
		asked := w
		if w.state == Voiding && asked.key == "" {
			asked.key = "voided"
		}
		if asked.key == "captured" {
			asked.refunded = true
		}
		heard := asked
		heard.void = asked.key
		next = append(next, heard)
		if w.lose > 0 {
			lost := asked
			lost.lose--
			next = append(next, lost)
		}
		if w.spent > 0 && (w.state != Voiding || !w.waits) {
			spent := w
			spent.spent--
			spent.waits = w.state == Voiding
			next = append(next, spent.apply(Decide(w.state, AttemptsSpent)))
		}
	case w.void != "":
		recorded := w
		recorded.void = ""
		switch w.void {
		case "voided":
			next = append(next, recorded.apply(Decide(w.state, VoidConfirmed)))
		case "declined":
			next = append(next, recorded.apply(Decide(w.state, VoidDeclined)))
		case "captured":
			recorded = recorded.apply(Decide(w.state, VoidTooLate))
			next = append(next, recorded.apply(Decide(recorded.state, RefundMade)))
		}
	}
	return next
}

func (w world) apply(d Decision) world {
	w.state = d.Next
	w.alarm = w.alarm || d.Attention && !slices.Contains(d.Emit, PaymentRefundFailed)
	for _, f := range d.Emit {
		w.emitted += string(f) + " "
	}
	if w.flyer.sent && w.left[0] == 0 {
		// The event it was for has been dealt with; what was sent may still arrive.
		w.ghost = w.ghost || w.flyer.answer == "" && !w.flyer.refused
		w.flyer = flyer{}
	}
	return w
}

func (w world) count(f Fact) int { return strings.Count(w.emitted, string(f)+" ") }

// broken says which rule of the emitted events does not hold.
func (w world) broken() string {
	for _, f := range []Fact{PaymentCompleted, PaymentFailed, PaymentVoided, PaymentRefunded} {
		if n := w.count(f); n > 1 {
			return fmt.Sprintf("%s told %d times", f, n)
		}
	}
	switch {
	case w.alarm:
		return "a person has to look at nothing"
	case w.count(PaymentCompleted)+w.count(PaymentFailed)+w.count(PaymentVoided) > 1:
		return "told contradictory things"
	case w.count(PaymentRefunded) > 0 && w.count(PaymentCompleted) == 0:
		return "refunded what nobody heard to be captured"
	case w.count(PaymentCompleted) > 0 && w.key != "captured":
		return "told a capture that is not in the ledger"
	case w.count(PaymentRefunded) > 0 && !w.refunded:
		return "told a refund that is not in the ledger"
	case w.count(PaymentVoided) > 0 && w.key != "voided":
		return "told a void that is not in the ledger"
	case w.count(PaymentFailed) > 0 && w.key != "declined" && w.key != "voided":
		return "told a decline of a charge that may still take money"
	}
	return ""
}

// endsWrong says what is wrong when nothing can happen any more: row, ledger and what
// was told must agree, whatever way led there.
func (s saga) endsWrong(w world) string {
	undone := len(s.heard) > 1 || s.heard[0] != OrderCreated
	held := w.key == "captured" && !w.refunded
	switch {
	case held && undone:
		return "the customer's money is kept for an order that was undone"
	case !held && !undone && !s.declines:
		return "nobody paid"
	}
	for state, fact := range map[State]Fact{Completed: PaymentCompleted, Failed: PaymentFailed, Voided: PaymentVoided, Refunded: PaymentRefunded} {
		if (w.state == state) != strings.HasSuffix(w.emitted, string(fact)+" ") {
			return "the row and what was told last do not agree"
		}
	}
	switch w.state {
	case Completed, Failed, Voided, Refunded:
		return ""
	}
	return "the order is stuck"
}
