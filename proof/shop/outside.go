package shop

import "eventshop.example/services/payment/payment"

// The states of a key at the gateway and at the carrier.
const (
	captured = "captured"
	declined = "declined"
	voided   = "voided"

	scheduled  = "scheduled"
	refused    = "refused"
	cancelled  = "cancelled"
	dispatched = "dispatched"
	delivered  = "delivered"
)

// chargeArrives returns the worlds after a charge has reached the gateway. One key has one answer
// for ever; the gateway chooses it when the key is new.
func (m *Model) chargeArrives(w World, i int) []World {
	key := &w.sagas[i].gateway.key
	if m.rules.ChargeKeyPerCommand && *key == captured && w.sagas[i].payment.state == payment.Completed {
		w.sagas[i].gateway.second++ // the call for another command
	}
	if *key != "" && !(*key == voided && m.rules.VoidOpens) {
		return []World{w}
	}
	*key = declined
	no := w
	*key = captured
	return []World{w, no}
}

// scheduleArrives returns the worlds after a request to ship has reached the carrier.
func scheduleArrives(w World, i int) []World {
	key := &w.sagas[i].carrier.key
	if *key != "" {
		return []World{w}
	}
	*key = refused
	no := w
	*key = scheduled
	return []World{w, no}
}

// cancelArrives returns the world after a cancellation has reached the carrier, which stops a parcel
// that has not left. A key that it does not know is closed.
func (m *Model) cancelArrives(w World, i int) World {
	if key := &w.sagas[i].carrier.key; *key == scheduled || *key == "" && !m.rules.CancelOpens {
		*key = cancelled
	}
	return w
}

// outsideSteps appends what the outside does by itself: requests arrive that their callers have
// given up, and the parcel moves.
func (m *Model) outsideSteps(w World, i int, steps []step) []step {
	s := &w.sagas[i]
	mv := Move{order: uint8(i)}
	if s.gateway.late {
		arrived := w
		arrived.sagas[i].gateway.late = false
		for _, next := range m.chargeArrives(arrived, i) {
			steps = append(steps, step{Move: mv.as(lateChargeArrives), Progress: true, To: next})
		}
	}
	if s.carrier.lateSchedule {
		arrived := w
		arrived.sagas[i].carrier.lateSchedule = false
		for _, next := range scheduleArrives(arrived, i) {
			steps = append(steps, step{Move: mv.as(lateScheduleArrives), Progress: true, To: next})
		}
	}
	if s.carrier.lateCancel {
		arrived := m.cancelArrives(w, i)
		arrived.sagas[i].carrier.lateCancel = false
		steps = append(steps, step{Move: mv.as(lateCancelArrives), Progress: true, To: arrived})
	}
	if s.carrier.key == scheduled || s.carrier.key == dispatched {
		moved := w
		c := &moved.sagas[i].carrier
		c.key = map[string]string{scheduled: dispatched, dispatched: delivered}[c.key]
		c.updates++
		steps = append(steps, step{Move: mv.as(parcelMoves), Progress: true, To: moved})
	}
	if s.carrier.taken < s.carrier.updates {
		steps = append(steps, m.follow(w, i, mv.as(feedLine)))
	}
	if w.left.Forgotten > 0 && s.carrier.taken > 0 {
		back := w
		back.left.Forgotten--
		back.sagas[i].carrier.taken--
		steps = append(steps, step{Move: mv.as(feedAgain), To: back})
	}
	return steps
}
