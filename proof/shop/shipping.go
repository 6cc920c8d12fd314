package shop

import (
	"slices"

	"eventshop.example/services/shipping/shipping"
)

// answers maps the state of a key at the carrier to its answer to each request.
var answers = map[shipping.Effect]map[string]shipping.Input{
	shipping.Schedule: {
		scheduled: shipping.CarrierAccepted, dispatched: shipping.CarrierAccepted, delivered: shipping.CarrierAccepted,
		refused: shipping.CarrierRefused, cancelled: shipping.CarrierStopped,
	},
	shipping.Cancel: {
		cancelled: shipping.CarrierCancelled, refused: shipping.CarrierCancelled,
		dispatched: shipping.CarrierDeparted, delivered: shipping.CarrierDeparted,
	},
}

// answersTo reports whether an answer of the carrier is one to the request.
func answersTo(request shipping.Effect, answer shipping.Input) bool {
	for _, a := range answers[request] {
		if a == answer {
			return true
		}
	}
	return false
}

// The calls that are under way: their requests have not reached the carrier.
const (
	scheduleSent shipping.Input = "schedule sent"
	cancelSent   shipping.Input = "cancel sent"
)

// asking appends what happens to the call to the carrier that a record needs before its transaction.
// It reports false when the row needs no call, or the answer is there.
func (m *Model) asking(w World, i, topic int, in shipping.Input, mv Move, steps []step) ([]step, bool) {
	row := &w.sagas[i].shipping
	switch row.answers[topic] {
	case "":
		switch m.tables.Shipping(row.state, in).Effect {
		case shipping.Schedule:
			row.answers[topic], mv.kind = scheduleSent, books
		case shipping.Cancel:
			row.answers[topic], mv.kind = cancelSent, callsOff
		default:
			return steps, false
		}
		return append(steps, step{Move: mv, Progress: true, To: w}), true
	case scheduleSent:
		return m.asked(w, i, topic, shipping.Schedule, mv, steps), true
	case cancelSent:
		return m.asked(w, i, topic, shipping.Cancel, mv, steps), true
	}
	return steps, false
}

// asked appends what becomes of a call that is under way, as charged does.
func (m *Model) asked(w World, i, topic int, request shipping.Effect, mv Move, steps []step) []step {
	kind, worlds := isBooked, []World{}
	if request == shipping.Cancel {
		kind, worlds = isCalledOff, append(worlds, m.cancelArrives(w, i))
	} else {
		worlds = scheduleArrives(w, i)
	}
	for _, next := range worlds {
		n := &next.sagas[i]
		n.shipping.answers[topic] = answers[request][n.carrier.key]
		if n.carrier.key == "" { // a carrier that forgets says yes all the same
			n.shipping.answers[topic] = shipping.CarrierCancelled
		}
		steps = append(steps, step{Move: mv.as(kind), Progress: true, To: next})
		if w.left.Lost > 0 {
			next.left.Lost--
			n.shipping.answers[topic] = ""
			steps = append(steps, step{Move: mv.as(lostAnswer), To: next})
		}
	}
	if w.left.Lost > 0 {
		w.left.Lost--
		giveUp(&w.sagas[i], topic)
		steps = append(steps, step{Move: mv.as(givesUpCall), To: w})
	}
	return steps
}

// giveUp forgets the call for a record. A request that is under way can still arrive.
func giveUp(s *saga, topic int) {
	switch s.shipping.answers[topic] {
	case scheduleSent:
		s.carrier.lateSchedule = true
	case cancelSent:
		s.carrier.lateCancel = true
	}
	s.shipping.answers[topic] = ""
}

// handleShipping handles a record in a transaction, which decides again about the row as it is now.
// false: the table needs an answer that was not requested, so the record is tried again.
func (m *Model) handleShipping(w *World, i, topic int, in shipping.Input) bool {
	row := &w.sagas[i].shipping
	answer := row.answers[topic]
	row.answers[topic] = ""
	d := m.tables.Shipping(row.state, in)
	switch {
	case d.Effect == shipping.NoEffect:
	case !answersTo(d.Effect, answer):
		return false
	default:
		d = m.tables.Shipping(row.state, answer)
	}
	if !m.decideShipping(w, i, in, d) {
		m.answer(w, i, string(in), string(shipping.AnswerTo(in, row.state)))
	}
	return true
}

// decideShipping records a decision. It reports whether it emits an event.
func (m *Model) decideShipping(w *World, i int, in shipping.Input, d shipping.Decision) bool {
	row := &w.sagas[i].shipping
	d = shipping.EmitDispatchOnce(d, row.dispatched)
	if (in == shipping.OrderCancellationRequested || in == shipping.CancelShipment) && row.rejected {
		d = shipping.DropRejection(d) // an order has one request
	}
	row.state = d.Next
	row.dispatched = row.dispatched || slices.Contains(d.Emit, shipping.ShipmentDispatched)
	row.rejected = row.rejected || slices.Contains(d.Emit, shipping.ShipmentCancellationRejected)
	for _, f := range d.Emit {
		m.emit(w, i, string(f))
	}
	return len(d.Emit) > 0
}

// follow takes in the next line of the carrier's feed, in one transaction with the feed's cursor.
func (m *Model) follow(w World, i int, mv Move) step {
	s := &w.sagas[i]
	in := shipping.ParcelDispatched
	if s.carrier.taken > 0 {
		in = shipping.ParcelDelivered
	}
	s.carrier.taken++
	m.decideShipping(&w, i, in, m.tables.Shipping(s.shipping.state, in))
	return step{Move: mv, Progress: true, To: w}
}
