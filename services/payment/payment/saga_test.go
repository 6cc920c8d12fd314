package payment

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// world is the payment of one order, the gateway's ledger about it, and what is in progress. It is
// a value: every move copies it, so all orders of moves can be explored.
type world struct {
	state   State
	emitted string // facts, each followed by a space

	// The ledger: the gateway's record of the order's charge key, and whether it was refunded. Net
	// money is captured and not refunded.
	key      string // "", captured, declined, voided
	refunded bool

	left  [4]int // how often each event may still arrive, in the order of events()
	flyer flyer  // a charge that one process makes while other processes continue
	ghost bool   // a charge that no process waits for any more and that has not reached the gateway yet
	void  string // "", asked, or the answer that the worker has not recorded yet
	lose  int    // answers of the gateway, or transactions after them, that can still get lost
	spent int    // times that the attempts can still be used up
	waits bool   // an unanswered void has been emitted, and no operator has started it again
	alarm bool   // a contradiction of the gateway was reported, which never happens here
	odd   int    // times that the gateway can still refuse a charge without checking its key
	hand  bool   // a person can still void the key at the gateway
}

// flyer is a call before its transaction: sent, answered, and then recorded or not. When the
// gateway refuses it, its key is closed in between.
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
	receives []Input
	declines bool
	spent    int
	hand     bool
	odd      int
	ends     []State
}

func sagas() []saga {
	undone := []State{Voided, Refunded}
	return []saga{
		{name: "happy", receives: []Input{OrderCreated}, ends: []State{Completed}},
		{name: "declined", receives: []Input{OrderCreated}, declines: true, ends: []State{Failed}},
		{name: "out of stock", receives: []Input{OrderCreated, InventoryReservationFailed}, ends: undone},
		{name: "carrier refuses", receives: []Input{OrderCreated, ShipmentFailed}, ends: undone},
		{name: "cancelled", receives: []Input{OrderCreated, ShipmentCancelled}, ends: undone},
		{name: "cancelled and declined", receives: []Input{OrderCreated, ShipmentCancelled}, declines: true, ends: []State{Failed, Voided}},
		{name: "cancelled and out of stock", receives: []Input{OrderCreated, InventoryReservationFailed, ShipmentCancelled}, ends: undone},
		{name: "everything goes wrong", receives: events(), ends: undone},
		{name: "the gateway is away for long", receives: []Input{OrderCreated, ShipmentCancelled}, spent: 2, ends: undone},
		{name: "voided by hand, then the deadline", receives: []Input{OrderCreated, ShipmentCancelled}, hand: true, ends: undone},
		{name: "the gateway is away for long, then it declines", receives: []Input{OrderCreated, ShipmentCancelled}, declines: true, spent: 2,
			ends: []State{Failed, Voided}},
		{name: "refused at times, then the deadline", receives: []Input{OrderCreated, ShipmentCancelled}, odd: 2,
			ends: []State{Failed, Voided, Refunded}},
		{name: "refused at times and declined", receives: []Input{OrderCreated, ShipmentCancelled}, odd: 2, declines: true,
			ends: []State{Failed, Voided}},
		{name: "cancelled, never created", receives: []Input{ShipmentCancelled}, ends: []State{Voided}},
	}
}

// TestEveryArrivalOrderEndsRight explores every order in which the events of a saga reach payment,
// each up to twice. It combines them in every way with charges, voids and refunds in progress in
// other processes, answers lost after the gateway acted, crashes between a call and its
// transaction, attempts that were used up and started again, charges that the gateway refuses at
// one time and not at another, and a person who voids the key at the gateway.
func TestEveryArrivalOrderEndsRight(t *testing.T) {
	for _, s := range sagas() {
		t.Run(s.name, func(t *testing.T) {
			start := world{state: None, lose: 2, spent: s.spent, hand: s.hand, odd: s.odd}
			for _, in := range s.receives {
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
		if d.Effect == Charge {
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

// charges moves the charge in progress.
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
			lost := asked // the gateway acted and its answer was lost; the event is delivered again
			lost.lose--
			lost.flyer = flyer{}
			late := w // the caller timed out, and the request can still arrive
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
		crashed := w // the call is done, but its transaction never happens
		crashed.lose--
		crashed.flyer = flyer{}
		next = append(next, crashed)
	}
	return next
}

// closes moves a refused charge, whose key is voided before the refusal counts.
func (w world) closes() []world {
	if w.key == "" {
		w.key = "voided"
	}
	answered := w
	answered.flyer.answer = ChargeDeclined
	if w.key == "captured" {
		answered.flyer.answer = ChargeCaptured
	}
	next := []world{answered}
	if w.lose > 0 {
		lost := w
		lost.lose--
		lost.flyer = flyer{}
		next = append(next, lost)
	}
	return next
}

// charge is the gateway: one key has one answer forever.
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

// returns moves the worker: it calls the gateway and later records the answer. In between the state
// can change, and the answer can get lost.
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
		answered := asked
		answered.void = asked.key
		next = append(next, answered)
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
		// The event of this call is finished. What was sent can still arrive.
		w.ghost = w.ghost || w.flyer.answer == "" && !w.flyer.refused
		w.flyer = flyer{}
	}
	return w
}

func (w world) count(f Fact) int { return strings.Count(w.emitted, string(f)+" ") }

// broken returns the violated rule of the emitted events.
func (w world) broken() string {
	for _, f := range []Fact{PaymentCompleted, PaymentFailed, PaymentVoided, PaymentRefunded} {
		if n := w.count(f); n > 1 {
			return fmt.Sprintf("%s emitted %d times", f, n)
		}
	}
	switch {
	case w.alarm:
		return "a person has to look at nothing"
	case w.count(PaymentCompleted)+w.count(PaymentFailed)+w.count(PaymentVoided) > 1:
		return "emitted contradictory facts"
	case w.count(PaymentRefunded) > 0 && w.count(PaymentCompleted) == 0:
		return "emitted a refund of money whose capture was not emitted"
	case w.count(PaymentCompleted) > 0 && w.key != "captured":
		return "emitted a capture that is not in the ledger"
	case w.count(PaymentRefunded) > 0 && !w.refunded:
		return "emitted a refund that is not in the ledger"
	case w.count(PaymentVoided) > 0 && w.key != "voided":
		return "emitted a void that is not in the ledger"
	case w.count(PaymentFailed) > 0 && w.key != "declined" && w.key != "voided":
		return "emitted a decline of a charge that may still take money"
	}
	return ""
}

// endsWrong returns what is wrong when nothing more can happen: row, ledger and emitted events must
// agree, whatever the order of moves.
func (s saga) endsWrong(w world) string {
	undone := len(s.receives) > 1 || s.receives[0] != OrderCreated
	held := w.key == "captured" && !w.refunded
	switch {
	case held && undone:
		return "the customer's money is kept for an order that was undone"
	case !held && !undone && !s.declines:
		return "nobody paid"
	}
	for state, fact := range map[State]Fact{Completed: PaymentCompleted, Failed: PaymentFailed, Voided: PaymentVoided, Refunded: PaymentRefunded} {
		if (w.state == state) != strings.HasSuffix(w.emitted, string(fact)+" ") {
			return "the row and what was emitted last do not agree"
		}
	}
	switch w.state {
	case Completed, Failed, Voided, Refunded:
		return ""
	}
	return "the order is stuck"
}
