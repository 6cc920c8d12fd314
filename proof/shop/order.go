package shop

import (
	"eventshop.example/services/order/order"
)

// orderSteps appends what the customer and the deadline can do to an order at any moment. The deadline
// of an order exists while the order is PENDING, and passes once.
func (m *Model) orderSteps(w World, i int, steps []step) []step {
	row := &w.sagas[i].order
	for _, in := range []order.Input{order.RequestCancellation, order.PassDeadline} {
		if in == order.PassDeadline && row.state != order.Pending {
			continue
		}
		next := w
		if m.decideOrder(&next, i, in, 0, false) {
			kind := cancels
			if in == order.PassDeadline {
				kind = deadline
			}
			steps = append(steps, step{Move: Move{kind: kind, order: uint8(i)}, To: next})
		}
	}
	return steps
}

// handleOrder handles a record, and answers a command.
func (m *Model) handleOrder(w *World, i int, in order.Input, r record) {
	if !m.decideOrder(w, i, in, r, true) {
		m.answer(w, i, string(in), string(order.AnswerTo(in, w.sagas[i].order.state)))
	}
}

// decideOrder applies an input to an order. cause is the record that it comes from, if byRecord. It
// reports whether the order has new events.
func (m *Model) decideOrder(w *World, i int, in order.Input, cause record, byRecord bool) bool {
	row := &w.sagas[i].order
	o := row.whole()
	d := m.tables.Order(o, order.Message{Input: in})
	if len(d.Emit) == 0 {
		return false
	}
	bit := uint64(1) << cause.number()
	if byRecord && row.known&bit != 0 {
		return false // its stream has recorded this event as a cause
	}
	if byRecord {
		row.known |= bit
	}
	m.record(w, i, o.Fold(d.Emit...), d.Emit)
	return true
}

// record stores an order and publishes its new events. A domain event is published if the catalogue
// has an event of the same name on the topic of orders.
func (m *Model) record(w *World, i int, o order.Order, news []order.Event) {
	w.sagas[i].order.project(o)
	for _, e := range news {
		for f, name := range m.facts {
			if name == e.Name() && m.topic[f] == orderService {
				m.emit(w, i, name)
			}
		}
	}
}
