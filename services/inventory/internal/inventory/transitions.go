package inventory

// Decide is the total transition table: every state and every input have an
// answer. It is written as one switch per state so that a cell can be read
// without running anything; the test enumerates all of them.
func Decide(s State, in Input) Decision {
	switch s {
	case None:
		switch in {
		case OrderCreated:
			return Decision{Wait, AwaitingPayment, NoEffect}
		case PaymentCompleted:
			return Decision{Wait, AwaitingItems, NoEffect}
		case PaymentFailed, PaymentVoided, ShipmentFailed, ShipmentCancelled:
			return Decision{Compensate, Cancelled, NoEffect}
		}
	case AwaitingPayment:
		switch in {
		case OrderCreated:
			return Decision{Duplicate, s, NoEffect}
		case PaymentCompleted:
			return Decision{Apply, Reserved, Reserve}
		case PaymentFailed, PaymentVoided, ShipmentFailed, ShipmentCancelled:
			return Decision{Compensate, Cancelled, NoEffect}
		}
	case AwaitingItems:
		switch in {
		case OrderCreated:
			return Decision{Apply, Reserved, Reserve}
		case PaymentCompleted:
			return Decision{Duplicate, s, NoEffect}
		case PaymentFailed, PaymentVoided, ShipmentFailed, ShipmentCancelled:
			return Decision{Compensate, Cancelled, NoEffect}
		}
	case Reserved:
		switch in {
		case OrderCreated, PaymentCompleted:
			return Decision{Duplicate, s, NoEffect}
		case ShipmentFailed, ShipmentCancelled:
			return Decision{Compensate, Released, Release}
		case ShipmentDispatched:
			return Decision{Apply, Shipped, Ship}
		}
		// PaymentFailed and PaymentVoided fall to refuse: payment says at most one of
		// completed, failed and voided, and completed is what led here.
	case Rejected, Released:
		switch in {
		case OrderCreated, PaymentCompleted, PaymentFailed, PaymentVoided, ShipmentFailed, ShipmentCancelled:
			return Decision{Duplicate, s, NoEffect} // nothing is held, nothing to undo
		}
	case Cancelled:
		switch in {
		case PaymentFailed, PaymentVoided, ShipmentFailed, ShipmentCancelled:
			return Decision{Duplicate, s, NoEffect}
		}
		// OrderCreated and PaymentCompleted are the late steps the tombstone is for.
	case Shipped:
		switch in {
		case OrderCreated, PaymentCompleted, ShipmentDispatched:
			return Decision{Duplicate, s, NoEffect}
		}
		// Dispatch is the pivot: behind it there is no way back to the shelf.
	}
	return Decision{Refuse, s, NoEffect}
}
