package shop

import (
	"eventshop.example/services/inventory/inventory"
	"eventshop.example/services/orchestrator/orchestrator"
	"eventshop.example/services/order/order"
	"eventshop.example/services/payment/payment"
	"eventshop.example/services/shipping/shipping"
)

// inputs has the name of each fact as an input of each table. A record has the name of its event
// type, and so has the input.
type inputs struct {
	order       []order.Input
	payment     []payment.Input
	inventory   []inventory.Input
	shipping    []shipping.Input
	coordinator []orchestrator.Input
}

func (in *inputs) add(fact string) {
	in.order = append(in.order, order.Input(fact))
	in.payment = append(in.payment, payment.Input(fact))
	in.inventory = append(in.inventory, inventory.Input(fact))
	in.shipping = append(in.shipping, shipping.Input(fact))
	in.coordinator = append(in.coordinator, orchestrator.Input(fact))
}

// deliverySteps appends what a group does with its next record of a topic, which there is.
func (m *Model) deliverySteps(w World, i, topic, group int, steps []step) []step {
	t := &w.sagas[i].topics[topic]
	r, _ := t.next(group)
	mv := Move{kind: handles, order: uint8(i), topic: uint8(topic), group: uint8(group), record: r}
	// The group has handled the first record of an event before it reads a second one.
	if r.isCopy() || t.handled&(1<<group) != 0 {
		passed := w
		m.forget(&passed, i, topic, group)
		m.acknowledge(&passed.sagas[i], topic, group)
		steps = append(steps, step{Move: mv.as(recognises), Progress: true, To: passed})
		if w.left.Forgotten == 0 {
			return steps
		}
		w.left.Forgotten--
		mv.kind = handlesAgain
	}
	return m.handling(w, i, topic, group, mv, steps)
}

// handling appends the calls that a record needs, or its transaction.
func (m *Model) handling(w World, i, topic, group int, mv Move, steps []step) []step {
	fact, progress := mv.record.fact(), mv.kind == handles
	called, before := false, len(steps)
	switch {
	case group == paymentService && asksToCharge(m.input.payment[fact]):
		steps, called = m.charging(w, i, m.input.payment[fact], mv, steps)
	case group == shippingService:
		steps, called = m.asking(w, i, topic, m.input.shipping[fact], mv, steps)
	}
	if w.left.Crashes > 0 && m.waits(w, i, topic, group) {
		crashed := w
		m.forget(&crashed, i, topic, group)
		crashed.left.Crashes--
		steps = append(steps, step{Move: mv.as(crashesBefore), To: crashed})
	}
	if called {
		for n := before; n < len(steps); n++ {
			steps[n].Progress = steps[n].Progress && progress
		}
		return steps
	}
	done := w
	if !m.handle(&done, i, topic, group, mv.record) {
		m.forget(&w, i, topic, group) // it is tried again, and calls again
		return append(steps, step{Move: mv.as(triesAgain), Progress: progress, To: w})
	}
	if w.left.Crashes > 0 {
		crashed := done
		crashed.left.Crashes--
		crashed.sagas[i].topics[topic].handled |= 1 << group
		steps = append(steps, step{Move: mv.as(crashesAfter), To: crashed})
	}
	m.acknowledge(&done.sagas[i], topic, group)
	return append(steps, step{Move: mv, Progress: progress, To: done})
}

// handle applies a record in one transaction.
func (m *Model) handle(w *World, i, topic, group int, r record) bool {
	switch fact := r.fact(); group {
	case orderService:
		m.handleOrder(w, i, m.input.order[fact], r)
	case paymentService:
		return m.handlePayment(w, i, m.input.payment[fact])
	case inventoryService:
		m.handleInventory(w, i, m.input.inventory[fact])
	case shippingService:
		return m.handleShipping(w, i, topic, m.input.shipping[fact])
	case coordinator:
		m.decideSaga(w, i, m.input.coordinator[fact])
	}
	return true
}

// waits reports whether a call for the group's next record is under way, or its answer waits for the
// transaction.
func (m *Model) waits(w World, i, topic, group int) bool {
	switch group {
	case paymentService:
		return topic == chargeTopic[w.sagas[i].style] && w.sagas[i].payment.charge != ""
	case shippingService:
		return w.sagas[i].shipping.answers[topic] != ""
	}
	return false
}

// forget drops the call for the group's next record and its answer. What the call did stays done, and
// a request that is under way can still arrive.
func (m *Model) forget(w *World, i, topic, group int) {
	switch group {
	case paymentService:
		if s := &w.sagas[i]; topic == chargeTopic[s.style] {
			s.gateway.late = s.gateway.late || s.payment.charge == sent
			s.payment.charge = ""
		}
	case shippingService:
		giveUp(&w.sagas[i], topic)
	}
}

// againSteps appends that a relay publishes a record again.
func (m *Model) againSteps(w World, i int, steps []step) []step {
	if w.left.Duplicates == 0 {
		return steps
	}
	for f, n := range w.sagas[i].emitted {
		if n == 0 || m.receives[w.sagas[i].style][f] == 0 || w.sagas[i].again&(1<<f) != 0 {
			continue
		}
		next := w
		next.left.Duplicates--
		next.sagas[i].again |= 1 << f
		r := record(f) | copyBit
		m.publish(&next.sagas[i], r)
		steps = append(steps, step{Move: Move{kind: publishesAgain, order: uint8(i), topic: m.topic[f], record: r}, To: next})
	}
	return steps
}
