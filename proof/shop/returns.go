package shop

import (
	"eventshop.example/services/payment/payment"
)

// inputsOf maps the answers of an attempt to the inputs that the worker records in one transaction.
var inputsOf = map[attempt][]payment.Input{
	voidConfirmed:  {payment.VoidConfirmed},
	voidDeclined:   {payment.VoidDeclined},
	refundMade:     {payment.RefundMade},
	refundAfter:    {payment.VoidTooLate, payment.RefundMade},
	refundAwaiting: {payment.VoidTooLate},
}

// returnSteps appends what the worker does that stops charges and refunds money, and operators. A
// refund follows a void that came too late at once; the answers are recorded together.
func (m *Model) returnSteps(w World, i int, steps []step) []step {
	p := w.sagas[i].payment
	mv := Move{order: uint8(i)}
	switch {
	case p.attempt == voidTooLate:
		steps = m.refund(w, i, mv, refundAfter, refundAwaiting, steps)
	case p.attempt != noAttempt:
		recorded := w
		recorded.sagas[i].payment.attempt = noAttempt
		if _, ok := m.decidePayment(&recorded, i, inputsOf[p.attempt]...); ok {
			steps = append(steps, step{Move: mv.as(recordsReturn), Progress: true, To: recorded})
		}
	case p.state == payment.Voiding:
		steps = m.void(w, i, mv, steps)
	case p.state == payment.Refunding:
		steps = m.refund(w, i, mv, refundMade, noAttempt, steps)
	}
	if p.attempt != noAttempt && w.left.Crashes > 0 {
		crashed := w
		crashed.left.Crashes--
		crashed.sagas[i].payment.attempt = noAttempt
		steps = append(steps, step{Move: mv.as(crashesReturning), To: crashed})
	}
	return m.attempts(w, i, mv, steps)
}

func (m *Model) void(w World, i int, mv Move, steps []step) []step {
	asked := w
	g := &asked.sagas[i].gateway
	if g.key == "" {
		g.key = voided
	}
	answered := asked
	answered.sagas[i].payment.attempt = map[string]attempt{voided: voidConfirmed, declined: voidDeclined, captured: voidTooLate}[g.key]
	steps = append(steps, step{Move: mv.as(voids), Progress: true, To: answered})
	if w.left.Lost > 0 && *g != w.sagas[i].gateway {
		asked.left.Lost--
		steps = append(steps, step{Move: mv.as(lostVoid), To: asked})
	}
	return steps
}

// refund calls the gateway, which repeats the first answer to a key. It refunds captured money only.
func (m *Model) refund(w World, i int, mv Move, answer, lost attempt, steps []step) []step {
	asked := w
	g := &asked.sagas[i].gateway
	if g.key != captured {
		return steps
	}
	if g.refunds == 0 || m.rules.RefundKeyPerAttempt {
		g.refunds++
	}
	answered := asked
	answered.sagas[i].payment.attempt = answer
	steps = append(steps, step{Move: mv.as(refunds), Progress: true, To: answered})
	if w.left.Lost > 0 {
		asked.left.Lost--
		asked.sagas[i].payment.attempt = lost
		steps = append(steps, step{Move: mv.as(lostRefund), To: asked})
	}
	return steps
}

// attempts appends that the attempts are used up, and what an operator does then. A refund that was
// given up waits for the operator; a void goes on without.
func (m *Model) attempts(w World, i int, mv Move, steps []step) []step {
	p := w.sagas[i].payment
	if w.left.Spent > 0 && p.attempt == noAttempt && p.state.Returning() && !(p.state == payment.Voiding && p.attention) {
		spent := w
		spent.left.Spent--
		spent.sagas[i].attempts++
		if _, ok := m.decidePayment(&spent, i, payment.AttemptsSpent); ok {
			steps = append(steps, step{Move: mv.as(givesUp), To: spent})
		}
	}
	if p.state == payment.RefundFailed || p.state == payment.Voiding && p.attention {
		retried := w
		if _, ok := m.decidePayment(&retried, i, payment.RetryRefund); ok {
			steps = append(steps, step{Move: mv.as(operatorRetries), Progress: p.state == payment.RefundFailed, To: retried})
		}
	}
	return steps
}
