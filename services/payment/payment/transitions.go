package payment

// Decide is the total transition table: every pair of state and input has a decision. It has one
// switch per state, so that a reader can look up a cell without running the program. A test
// enumerates all cells. A pair that no case names is refused.
//
// The gateway keeps one answer per key forever. An answer that contradicts an earlier one is
// refused with attention. The exception is a capture in a state without money: the money is
// refunded first, and the payment needs attention too.
func Decide(s State, in Input) Decision {
	switch s {
	case None:
		return decideNone(in)
	case Completed:
		return decideCompleted(in)
	case Failed, Voided:
		return decideNothingTaken(s, in)
	case Voiding:
		return decideVoiding(in)
	case Refunding:
		return decideRefunding(in)
	case Refunded:
		return decideRefunded(in)
	case RefundFailed:
		return decideRefundFailed(in)
	}
	return refuse(s)
}

func apply(next State, emit ...Fact) Decision {
	return Decision{Action: Apply, Next: next, Emit: emit}
}

func compensate(next State, emit ...Fact) Decision {
	return Decision{Action: Compensate, Next: next, Emit: emit}
}

func duplicate(s State) Decision { return Decision{Action: Duplicate, Next: s} }
func refuse(s State) Decision    { return Decision{Action: Refuse, Next: s} }

// contradict refuses an answer that a correct gateway does not return.
func contradict(s State) Decision { return Decision{Action: Refuse, Next: s, Attention: true} }

func decideNone(in Input) Decision {
	switch in {
	case OrderCreated, ChargePayment:
		return Decision{Action: Apply, Next: None, Effect: Charge}
	case ChargeCaptured:
		return apply(Completed, PaymentCompleted)
	case ChargeDeclined:
		return apply(Failed, PaymentFailed)
	case ChargeStopped:
		// This service moves to Voiding before it voids, so a person has voided the key at the
		// gateway. No money is held, and the saga's deadline will end the order.
		return Decision{Action: Wait, Next: None}
	case InventoryReservationFailed, ShipmentFailed, ShipmentCancelled, RefundPayment:
		// A charge may be in progress, or a process may have made it and died before it recorded
		// the answer. From now on the state refuses a charge, and the gateway knows whether there
		// was one.
		return compensate(Voiding)
	}
	return refuse(None)
}

func decideCompleted(in Input) Decision {
	switch in {
	case OrderCreated, ChargePayment, ChargeCaptured:
		return duplicate(Completed)
	case InventoryReservationFailed, ShipmentFailed, ShipmentCancelled, RefundPayment:
		return compensate(Refunding)
	case ChargeDeclined, ChargeStopped:
		return contradict(Completed)
	}
	return refuse(Completed)
}

// decideNothingTaken decides in the two states in which no money was taken.
func decideNothingTaken(s State, in Input) Decision {
	switch in {
	case OrderCreated, ChargePayment:
		if s == Voided {
			return refuse(s) // the late step that the tombstone is for
		}
		return duplicate(s)
	case InventoryReservationFailed, ShipmentFailed, ShipmentCancelled, RefundPayment, AttemptsSpent:
		return duplicate(s)
	case ChargeDeclined, ChargeStopped, VoidConfirmed:
		// This is no contradiction. A charge that the gateway refuses counts as declined once its
		// key is voided, so the next caller receives the void.
		return duplicate(s)
	case VoidDeclined:
		if s == Failed {
			return duplicate(s)
		}
		return contradict(s)
	case ChargeCaptured, VoidTooLate:
		d := compensate(Refunding, PaymentCompleted)
		d.Attention = true
		return d
	}
	return refuse(s)
}

func decideVoiding(in Input) Decision {
	switch in {
	case OrderCreated, ChargePayment:
		return refuse(Voiding) // the late step; only its amount is stored
	case InventoryReservationFailed, ShipmentFailed, ShipmentCancelled, RefundPayment:
		return duplicate(Voiding)
	case ChargeCaptured, VoidTooLate:
		// PaymentCompleted is emitted although the capture will be refunded. The capture is a fact,
		// and consumers that add up captures and refunds need both.
		return compensate(Refunding, PaymentCompleted)
	case ChargeDeclined, VoidDeclined:
		return apply(Failed, PaymentFailed)
	case ChargeStopped, VoidConfirmed:
		return apply(Voided, PaymentVoided)
	case AttemptsSpent:
		// The payment is not known to hold money, so the void is never given up. The attempts
		// continue at the slowest pace. But the order waits for the answer, so an event reports
		// that a person has to look. The caller makes this an input once per round of attempts.
		return Decision{Action: Wait, Next: Voiding, Emit: []Fact{PaymentRefundFailed}, Attention: true}
	case RetryRefund:
		return apply(Voiding)
	}
	return refuse(Voiding)
}

func decideRefunding(in Input) Decision {
	switch in {
	case OrderCreated, ChargePayment, InventoryReservationFailed, ShipmentFailed, ShipmentCancelled, RefundPayment, ChargeCaptured, VoidTooLate:
		return duplicate(Refunding)
	case ChargeDeclined, ChargeStopped, VoidConfirmed, VoidDeclined:
		return contradict(Refunding)
	case RefundMade:
		return apply(Refunded, PaymentRefunded)
	case AttemptsSpent:
		d := apply(RefundFailed, PaymentRefundFailed)
		d.Attention = true
		return d
	case RetryRefund:
		return apply(Refunding)
	}
	return refuse(Refunding)
}

func decideRefunded(in Input) Decision {
	switch in {
	case OrderCreated, ChargePayment, InventoryReservationFailed, ShipmentFailed, ShipmentCancelled, RefundPayment,
		ChargeCaptured, VoidTooLate, RefundMade, AttemptsSpent:
		return duplicate(Refunded)
	case ChargeDeclined, ChargeStopped, VoidConfirmed, VoidDeclined:
		return contradict(Refunded)
	}
	return refuse(Refunded)
}

func decideRefundFailed(in Input) Decision {
	switch in {
	case OrderCreated, ChargePayment, InventoryReservationFailed, ShipmentFailed, ShipmentCancelled,
		ChargeCaptured, VoidTooLate, AttemptsSpent:
		return duplicate(RefundFailed)
	case ChargeDeclined, ChargeStopped, VoidConfirmed, VoidDeclined:
		return contradict(RefundFailed)
	case RefundMade:
		// An attempt was in progress when the attempts were used up.
		return apply(Refunded, PaymentRefunded)
	case RetryRefund, RefundPayment:
		// The orchestrator repeats its command only when an operator asks for another round.
		return apply(Refunding)
	}
	return refuse(RefundFailed)
}
