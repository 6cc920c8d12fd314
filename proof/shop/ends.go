package shop

import (
	"fmt"
	"maps"
	"slices"

	"eventshop.example/proof/check"
	"eventshop.example/services/orchestrator/orchestrator"
)

// Script is what the outside does with one order, whoever asks.
type Script struct {
	Name    string // in words
	decline bool   // the gateway declines the charge
	empty   bool   // nothing is in stock
	refuse  bool   // the carrier refuses the parcel
}

// Scripts lists all scripts. What the outside would do after the first failure is not asked any more.
func Scripts() []Script {
	return []Script{
		{Name: "all goes well"},
		{Name: "the card is declined", decline: true},
		{Name: "out of stock", empty: true},
		{Name: "the carrier refuses", refuse: true},
	}
}

// allows reports whether a world is one of the script.
func (s Script) allows(w World) bool {
	gateway, carrier := w.sagas[0].gateway.key, w.sagas[0].carrier.key
	return !(gateway == declined && !s.decline || gateway == captured && s.decline ||
		carrier == refused && !s.refuse || carrier == scheduled && s.refuse)
}

// Moment is when an order is cancelled, by the newest fact that a participant has published then. The
// order service may not have received it.
type Moment string

// Never is the moment of an order that is not cancelled.
const Never Moment = "never"

// accepted is the moment before any fact of another participant.
const accepted Moment = "OrderCreated"

// decisive returns the facts that moments are named after, the newest first. A choreographed order has
// them in the order of the first definition.
func (m *Model) decisive(s *saga) []string {
	steps := m.released[max(s.definition, 1)-1].Steps
	facts := []string{"ShipmentDelivered", "ShipmentDispatched"}
	for _, step := range slices.Backward(steps) {
		if step.Compensation != orchestrator.NoEffect {
			facts = append(facts, string(step.Failed[0]), string(step.Done[0]))
		}
	}
	return facts
}

// Moments lists all moments.
func Moments() []Moment {
	return []Moment{
		Never, accepted, "PaymentCompleted", "PaymentFailed", "InventoryReserved", "InventoryReservationFailed",
		"ShipmentScheduled", "ShipmentFailed", "ShipmentDispatched", "ShipmentDelivered",
	}
}

// moment returns the moment that an order is at.
func (m *Model) moment(s *saga) Moment {
	for _, fact := range m.decisive(s) {
		if s.emitted[m.fact(fact)] > 0 {
			return Moment(fact)
		}
	}
	return accepted
}

// Ends returns every way in which an order that is coordinated so can end when the outside follows a script and
// the order is cancelled at a moment, by its deadline or else by the customer: the order, its money,
// its piece of stock and its parcel, in words, sorted. It returns no end when the order cannot be
// cancelled at that moment, and the breach when an invariant is violated.
func (m *Model) Ends(how Coordination, script Script, at Moment, byDeadline bool, bounds Bounds) ([]string, *check.Breach) {
	pieces := int8(1)
	if script.empty {
		pieces = 0
	}
	by, found := cancels, map[string]bool{}
	if byDeadline {
		by = deadline
	}
	sys := m.System([]Coordination{how}, bounds, pieces)
	steps, rest := sys.Steps, sys.AtRest
	sys.Steps = func(w World, into []step) []step {
		before := len(into)
		into = steps(w, into)
		kept := slices.DeleteFunc(into[before:], func(s step) bool {
			cancellation := s.Move.kind == cancels || s.Move.kind == deadline
			return !script.allows(s.To) || cancellation && (s.Move.kind != by || m.moment(&w.sagas[0]) != at)
		})
		return into[:before+len(kept)]
	}
	requested := m.fact("OrderCancellationRequested")
	sys.AtRest = func(w World) *check.Breach {
		if (w.sagas[0].emitted[requested] > 0) == (at != Never) {
			found[end(&w)] = true
		}
		return rest(w)
	}
	if breach := check.Explore(sys, 0).Breach; breach != nil {
		return nil, breach
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// end puts the end of the only order into words, as the outside sees it.
func end(w *World) string {
	s := &w.sagas[0]
	money, stock, parcel := "not taken", "free", "stays"
	switch {
	case s.gateway.key == captured && s.gateway.refunds > 0:
		money = "returned"
	case s.gateway.key == captured:
		money = "kept"
	}
	if w.available < w.stock {
		stock = "sold"
	}
	if s.carrier.key == delivered {
		parcel = "arrives"
	}
	return fmt.Sprintf("%s, money %s, stock %s, parcel %s", s.order.state, money, stock, parcel)
}
