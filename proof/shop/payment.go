package shop

import (
	"eventshop.example/services/payment/payment"
)

// sent is a charge that is under way: its request has not reached the gateway.
const sent payment.Input = "sent"

// asksToCharge reports whether an input asks for the charge, in either style.
func asksToCharge(in payment.Input) bool {
	return in == payment.OrderCreated || in == payment.ChargePayment
}

// decidePayment applies inputs to the payment as one step, and returns the number of events. It reports
// false when the table needs the gateway first: the step then has no effect and is tried again.
func (m *Model) decidePayment(w *World, i int, inputs ...payment.Input) (emitted int, ok bool) {
	s := &w.sagas[i]
	before := s.payment
	var facts []payment.Fact
	for _, in := range inputs {
		d := m.tables.Payment(s.payment.state, in)
		if d.Effect == payment.Charge {
			s.payment = before
			return 0, false
		}
		s.payment.move(in, d)
		facts = append(facts, d.Emit...)
		if d.Attention && in != payment.AttemptsSpent {
			s.contradiction = true
		}
	}
	for _, f := range facts {
		m.emit(w, i, string(f))
	}
	return len(facts), true
}

// move changes the row, as the service's app does.
func (p *paymentRow) move(in payment.Input, d payment.Decision) {
	before := p.state
	p.state = d.Next
	switch {
	case !d.Next.Returning():
	case !before.Returning() || in == payment.RetryRefund:
		p.attention = false
	}
	if d.Next.Ended() && d.Next != before {
		p.attention = false
	}
	if d.Attention {
		p.attention = true
	}
}

// charging appends what happens to the call that charges the order, which comes before the
// transaction. It reports false when the row needs no call, or the answer is there.
func (m *Model) charging(w World, i int, in payment.Input, mv Move, steps []step) ([]step, bool) {
	s := &w.sagas[i]
	switch s.payment.charge {
	case "":
		if m.tables.Payment(s.payment.state, in).Effect != payment.Charge {
			return steps, false
		}
		w.sagas[i].payment.charge = sent
		return append(steps, step{Move: mv.as(charges), Progress: true, To: w}), true
	case sent:
		return m.charged(w, i, mv, steps), true
	}
	return steps, false
}

// charged appends what becomes of a charge that is under way: it arrives and is answered, its answer
// gets lost, or it arrives after its caller has given up. Without an answer the outcome is unknown,
// and the record is tried again.
func (m *Model) charged(w World, i int, mv Move, steps []step) []step {
	for _, next := range m.chargeArrives(w, i) {
		n := &next.sagas[i]
		n.payment.charge = map[string]payment.Input{
			captured: payment.ChargeCaptured, declined: payment.ChargeDeclined, voided: payment.ChargeStopped,
		}[n.gateway.key]
		steps = append(steps, step{Move: mv.as(isCharged), Progress: true, To: next})
		if w.left.Lost > 0 {
			steps = append(steps, step{Move: mv.as(lostAnswer), To: m.unanswered(next, i)})
		}
	}
	if w.left.Lost > 0 {
		late := m.unanswered(w, i)
		late.sagas[i].gateway.late = true
		steps = append(steps, step{Move: mv.as(givesUpCall), To: late})
	}
	return steps
}

// unanswered returns the world in which a charge has got no answer.
func (m *Model) unanswered(w World, i int) World {
	w.left.Lost--
	w.sagas[i].payment.charge = ""
	if m.rules.LostChargeDeclines {
		w.sagas[i].payment.charge = payment.ChargeDeclined
	}
	return w
}

// handlePayment handles a record in a transaction. false: it has no effect and is tried again.
func (m *Model) handlePayment(w *World, i int, in payment.Input) bool {
	row, decided := &w.sagas[i].payment, in
	if asksToCharge(in) && row.charge != "" {
		decided, row.charge = row.charge, ""
	}
	emitted, ok := m.decidePayment(w, i, decided)
	if ok && emitted == 0 {
		m.answer(w, i, string(in), string(payment.AnswerTo(in, row.state)))
	}
	return ok
}
