package shop

import (
	"fmt"

	"eventshop.example/proof/check"
	"eventshop.example/services/inventory/inventory"
	"eventshop.example/services/orchestrator/orchestrator"
	"eventshop.example/services/order/order"
	"eventshop.example/services/payment/payment"
	"eventshop.example/services/shipping/shipping"
)

// The invariants, with their names in docs/guarantees.md.
const (
	money = "I1"
	goods = "I2"
	ends  = "I3"
)

func breach(invariant, format string, args ...any) *check.Breach {
	return &check.Breach{Invariant: invariant, Text: fmt.Sprintf(format, args...)}
}

// broken implements [check.System].
func (m *Model) broken(from, to World) *check.Breach {
	if b := stockBroken(&to); b != nil {
		return b
	}
	for i := range to.orders {
		s := &to.sagas[i]
		if b := m.moneyBroken(s); b != nil {
			return b
		}
		if b := m.endBroken(&from.sagas[i], s); b != nil {
			return b
		}
		if b := m.repeated(s); b != nil {
			return b
		}
		if b := m.coordinationBroken(&from.sagas[i], s); b != nil {
			return b
		}
	}
	return nil
}

// moneyBroken is I1: the gateway's ledger agrees with what was emitted, the order has its money while
// it goes on, and no money is held for an order that was cancelled.
func (m *Model) moneyBroken(s *saga) *check.Breach {
	took := s.gateway.key == captured
	has := func(fact uint8) bool { return s.emitted[fact] > 0 }
	left := s.carrier.key == dispatched || s.carrier.key == delivered
	switch {
	case s.gateway.second > 0:
		return breach(money, "the money was captured %d times", s.gateway.second+1)
	case s.gateway.refunds > 1:
		return breach(money, "the money was refunded %d times", s.gateway.refunds)
	case s.gateway.refunds > 0 && !took:
		return breach(money, "a refund of money that was not captured")
	case has(m.about.completed) && !took:
		return breach(money, "PaymentCompleted without a capture")
	case has(m.about.refunded) && s.gateway.refunds == 0:
		return breach(money, "PaymentRefunded without a refund")
	case (has(m.about.failed) || has(m.about.voided)) && took:
		return breach(money, "a capture that is emitted as none")
	case (has(m.about.failed) || has(m.about.voided)) && s.gateway.key == "":
		return breach(money, "no money is emitted as taken, and the key can still take it")
	case s.order.state == order.Cancelled && took && s.gateway.refunds == 0:
		return breach(money, "the order is CANCELLED and its money was not returned")
	case (s.order.state == order.Confirmed || s.order.state == order.Shipped || s.order.state == order.Delivered || left) &&
		(!took || s.gateway.refunds > 0):
		return breach(money, "the order goes on without its money")
	}
	return nil
}

// stockBroken is I2: no piece appears or vanishes, and the counts are those of the reservations.
func stockBroken(w *World) *check.Breach {
	var reserved, shipped int8
	for i := range w.orders {
		s := &w.sagas[i]
		switch s.inventory {
		case inventory.Reserved:
			reserved++
		case inventory.Shipped:
			shipped++
		}
		left := s.carrier.key == dispatched || s.carrier.key == delivered
		if left && s.inventory != inventory.Reserved && s.inventory != inventory.Shipped {
			return breach(goods, "the parcel has left and inventory has %s", s.inventory)
		}
	}
	switch {
	case min(w.available, w.reserved, w.shipped) < 0:
		return breach(goods, "a negative count: %d available, %d reserved, %d shipped", w.available, w.reserved, w.shipped)
	case w.available+w.reserved+w.shipped != w.stock:
		return breach(goods, "%d available + %d reserved + %d shipped, of %d", w.available, w.reserved, w.shipped, w.stock)
	case w.reserved != reserved || w.shipped != shipped:
		return breach(goods, "%d reserved and %d shipped, the reservations say %d and %d", w.reserved, w.shipped, reserved, shipped)
	}
	return nil
}

// endBroken is I3: an order ends once and does not leave its end, its parcel does not leave after a
// cancellation, and a person is asked for one reason only: the attempts to return money were used up.
// Then a person is asked at payment, and at the order unless it has ended or not heard of it yet.
func (m *Model) endBroken(from, to *saga) *check.Breach {
	left := to.carrier.key == dispatched || to.carrier.key == delivered
	count := 0
	for f, n := range to.emitted {
		if m.ends&(1<<f) != 0 {
			count += int(n)
		}
	}
	switch {
	case from.order.state.Ended() && to.order.state != from.order.state:
		return breach(ends, "the order was %s and is %s", from.order.state, to.order.state)
	case count > 1:
		return breach(ends, "the order ended %d times", count)
	case to.order.state == order.Cancelled && left:
		return breach(ends, "the order is CANCELLED and its parcel has left")
	case to.contradiction || to.payment.attention && to.attempts == 0:
		return breach(ends, "payment asks for attention, and its attempts are not used up")
	case to.attempts > from.attempts && !to.payment.attention:
		return breach(ends, "the attempts to return money are used up, and payment asks for no attention")
	case to.payment.state == payment.RefundFailed && !to.order.state.Ended() && to.order.attention == "" && to.heard(paymentService, orderService):
		return breach(ends, "the attempts to return money are used up, and the order asks for no attention")
	case to.order.attention != "" && (to.attempts == 0 || to.order.attention != order.PaymentRefundFailed):
		return breach(ends, "the order asks for attention because of %s", to.order.attention)
	}
	return nil
}

// repeated checks that each fact is emitted once, but for those that can be true again.
func (m *Model) repeated(s *saga) *check.Breach {
	if s.emitted[m.about.completed]+s.emitted[m.about.failed]+s.emitted[m.about.voided] > 1 {
		return breach(money, "contradicting facts about the charge")
	}
	for f, n := range s.emitted {
		if n > 1 && m.repeats&(1<<f) == 0 {
			invariant := [services]string{ends, money, goods, ends}[m.topic[f]]
			return breach(invariant, "%s is emitted %d times", m.facts[f], n)
		}
	}
	return nil
}

// coordinationBroken is the orchestrator's part of I3: a person is asked for two reasons only, that the
// attempts to return money are used up, or that the time limit passed. A command is sent once, unless
// an operator has it sent again; only a request to cancel that comes again after the dispatch is
// answered again.
func (m *Model) coordinationBroken(from, to *saga) *check.Breach {
	row := &to.coordinator
	if to.style != Orchestrated {
		return nil
	}
	switch {
	case row.attention == "", row.attention == orchestrator.DuePassed:
	case row.attention == orchestrator.PaymentRefundFailed && to.attempts > 0 && row.state == orchestrator.Refunding: // not after the refund
	default:
		return breach(ends, "the saga asks for attention because of %s in %s", row.attention, row.state)
	}
	if from.coordinator.state.Ended() && row.state != from.coordinator.state {
		return breach(ends, "the saga was %s and is %s", from.coordinator.state, row.state)
	}
	if to.payment.state == payment.RefundFailed && row.attention == "" && to.heard(paymentService, coordinator) {
		return breach(ends, "the attempts to return money are used up, and the saga asks for no attention")
	}
	for f, n := range to.emitted {
		if n > 1 && m.commands&(1<<f) != 0 && !row.retried && m.facts[f] != string(orchestrator.CancelShipment) {
			return breach(ends, "%s is sent %d times", m.facts[f], n)
		}
	}
	return nil
}

// atRest implements [check.System]: at rest, every participant has ended, and in the same way.
func (m *Model) atRest(w World) *check.Breach {
	for i := range w.orders {
		s := &w.sagas[i]
		switch {
		case !s.order.state.Ended():
			return breach(ends, "the order is at rest as %s", s.order.state)
		case s.order.attention != "" || s.payment.attention:
			return breach(ends, "the order has ended and asks for attention")
		case s.order.state == order.Delivered && s.order.requested && !s.order.rejected:
			return breach(ends, "the order is DELIVERED and the request to cancel it was not answered")
		case !s.payment.state.Ended() && s.payment.state != payment.Completed && !m.uncharged(s):
			return breach(money, "the payment is at rest as %s", s.payment.state)
		case !agrees(s):
			return breach(money, "payment says %s, the gateway has %q and %d refunds", s.payment.state, s.gateway.key, s.gateway.refunds)
		case !s.inventory.Ended() && !s.untouched(string(s.inventory)):
			return breach(goods, "the reservation is at rest as %q", s.inventory)
		case !s.shipping.state.Ended() && !s.untouched(string(s.shipping.state)):
			return breach(ends, "the shipment is at rest as %q", s.shipping.state)
		case (s.order.state == order.Delivered) != (s.payment.state == payment.Completed):
			return breach(money, "the order is %s and its payment %s", s.order.state, s.payment.state)
		case (s.order.state == order.Delivered) != (s.inventory == inventory.Shipped):
			return breach(goods, "the order is %s and its reservation %s", s.order.state, s.inventory)
		case (s.order.state == order.Delivered) != (s.shipping.state == shipping.Delivered):
			return breach(ends, "the order is %s and its shipment %s", s.order.state, s.shipping.state)
		}
		if b := restBroken(s); b != nil {
			return b
		}
	}
	return nil
}

// restBroken says what is wrong with an orchestrated saga at rest.
func restBroken(s *saga) *check.Breach {
	switch {
	case s.style != Orchestrated:
	case !s.coordinator.state.Ended():
		return breach(ends, "the saga is at rest as %s", s.coordinator.state)
	case s.coordinator.attention != "":
		return breach(ends, "the saga has ended and asks for attention")
	case (s.order.state == order.Delivered) != (s.coordinator.state == orchestrator.Delivered):
		return breach(ends, "the order is %s and its saga %s", s.order.state, s.coordinator.state)
	}
	return nil
}

// untouched reports whether a service has no row of an orchestrated order that was cancelled: it got no
// command.
func (s *saga) untouched(state string) bool {
	return s.style == Orchestrated && s.order.state == order.Cancelled && state == ""
}

// uncharged reports whether payment has no row of an orchestrated order that was cancelled, because its
// saga turned back before it sent the command to charge.
func (m *Model) uncharged(s *saga) bool {
	return s.style == Orchestrated && s.order.state == order.Cancelled && s.payment.state == payment.None && s.emitted[m.about.commanded] == 0
}

// agrees reports whether the payment's row at rest is what the ledger has.
func agrees(s *saga) bool {
	took := s.gateway.key == captured
	switch s.payment.state {
	case payment.Completed:
		return took && s.gateway.refunds == 0
	case payment.Refunded:
		return took && s.gateway.refunds == 1
	}
	return !took
}
