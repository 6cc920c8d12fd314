package payment

// Decide is the total transition table: every state and every input have an answer. It
// is written as one switch per state so that a cell can be read without running
// anything; the test enumerates all of them. What no case names is refused.
//
// The gateway gives one key one answer for ever. An answer that contradicts an earlier
// one is refused with attention, except a capture where none was thought to be: such
// money goes back first and is asked about afterwards.
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

// contradict refuses what a gateway that keeps its promises cannot say.
func contradict(s State) Decision { return Decision{Action: Refuse, Next: s, Attention: true} }

func decideNone(in Input) Decision {
	switch in {
	case OrderCreated:
		return Decision{Action: Apply, Next: None, Charge: true}
	case ChargeCaptured:
		return apply(Completed, PaymentCompleted)
	case ChargeDeclined:
		return apply(Failed, PaymentFailed)
	case ChargeStopped:
		// Not this service, which moves to Voiding before it voids; a person at the
		// gateway. Nothing is held, and the saga's deadline will bring a reason to end.
		return Decision{Action: Wait, Next: None}
	case InventoryReservationFailed, ShipmentFailed, ShipmentCancelled:
		// A charge may be under way, or done by a process that died before it could
		// write it down. The state refuses a charge from now on; the gateway says
		// whether there was one.
		return compensate(Voiding)
	}
	return refuse(None)
}

func decideCompleted(in Input) Decision {
	switch in {
	case OrderCreated, ChargeCaptured:
		return duplicate(Completed)
	case InventoryReservationFailed, ShipmentFailed, ShipmentCancelled:
		return compensate(Refunding)
	case ChargeDeclined, ChargeStopped:
		return contradict(Completed)
	}
	return refuse(Completed)
}

// decideNothingTaken is for the two states in which no money was taken.
func decideNothingTaken(s State, in Input) Decision {
	switch in {
	case OrderCreated:
		if s == Voided {
			return refuse(s) // the late step that the tombstone is for
		}
		return duplicate(s)
	case InventoryReservationFailed, ShipmentFailed, ShipmentCancelled, AttemptsSpent:
		return duplicate(s)
	case ChargeDeclined, ChargeStopped, VoidConfirmed:
		// No contradiction: a charge that the gateway refuses altogether counts as
		// declined when its key is voided, so whoever asks next hears of the void.
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
	case OrderCreated:
		return refuse(Voiding) // the late step; only the amount is learnt from it
	case InventoryReservationFailed, ShipmentFailed, ShipmentCancelled:
		return duplicate(Voiding)
	case ChargeCaptured, VoidTooLate:
		// The capture is told although it is about to be undone: it is a fact, and
		// whoever adds up captures and refunds needs both.
		return compensate(Refunding, PaymentCompleted)
	case ChargeDeclined, VoidDeclined:
		return apply(Failed, PaymentFailed)
	case ChargeStopped, VoidConfirmed:
		return apply(Voided, PaymentVoided)
	case AttemptsSpent:
		// Not known to hold money, so there is nothing to give up: the attempts go on, at
		// their slowest. But the order waits for the answer, so others hear that a person
		// has to look. The caller says this once a round of attempts.
		return Decision{Action: Wait, Next: Voiding, Emit: []Fact{PaymentRefundFailed}, Attention: true}
	case RetryRefund:
		return apply(Voiding)
	}
	return refuse(Voiding)
}

func decideRefunding(in Input) Decision {
	switch in {
	case OrderCreated, InventoryReservationFailed, ShipmentFailed, ShipmentCancelled, ChargeCaptured, VoidTooLate:
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
	case OrderCreated, InventoryReservationFailed, ShipmentFailed, ShipmentCancelled,
		ChargeCaptured, VoidTooLate, RefundMade, AttemptsSpent:
		return duplicate(Refunded)
	case ChargeDeclined, ChargeStopped, VoidConfirmed, VoidDeclined:
		return contradict(Refunded)
	}
	return refuse(Refunded)
}

func decideRefundFailed(in Input) Decision {
	switch in {
	case OrderCreated, InventoryReservationFailed, ShipmentFailed, ShipmentCancelled,
		ChargeCaptured, VoidTooLate, AttemptsSpent:
		return duplicate(RefundFailed)
	case ChargeDeclined, ChargeStopped, VoidConfirmed, VoidDeclined:
		return contradict(RefundFailed)
	case RefundMade:
		// An attempt that was under way when the attempts ran out.
		return apply(Refunded, PaymentRefunded)
	case RetryRefund:
		return apply(Refunding)
	}
	return refuse(RefundFailed)
}
