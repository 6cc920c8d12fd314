package inventory

// Decide is the total transition table: every pair of state and input has a decision. It has one
// switch per state, so that a reader can look up a cell without running the program. A test
// enumerates all cells. A pair that no case names is refused.
func Decide(s State, in Input) Decision {
	switch s {
	case None:
		switch in {
		case OrderCreated:
			return Decision{Wait, AwaitingPayment, NoEffect}
		case PaymentCompleted:
			return Decision{Wait, AwaitingItems, NoEffect}
		case ReserveInventory:
			return Decision{Apply, Reserved, Reserve}
		case PaymentFailed, PaymentVoided, ShipmentFailed, ShipmentCancelled, ReleaseInventory:
			return Decision{Compensate, Cancelled, NoEffect}
		}
	case AwaitingPayment:
		switch in {
		case OrderCreated:
			return Decision{Duplicate, s, NoEffect}
		case PaymentCompleted, ReserveInventory:
			return Decision{Apply, Reserved, Reserve}
		case PaymentFailed, PaymentVoided, ShipmentFailed, ShipmentCancelled, ReleaseInventory:
			return Decision{Compensate, Cancelled, NoEffect}
		}
	case AwaitingItems:
		switch in {
		case OrderCreated, ReserveInventory:
			return Decision{Apply, Reserved, Reserve}
		case PaymentCompleted:
			return Decision{Duplicate, s, NoEffect}
		case PaymentFailed, PaymentVoided, ShipmentFailed, ShipmentCancelled, ReleaseInventory:
			return Decision{Compensate, Cancelled, NoEffect}
		}
	case Reserved:
		switch in {
		case OrderCreated, PaymentCompleted, ReserveInventory:
			return Decision{Duplicate, s, NoEffect}
		case ShipmentFailed, ShipmentCancelled, ReleaseInventory:
			return Decision{Compensate, Released, Release}
		case ShipmentDispatched:
			return Decision{Apply, Shipped, Ship}
		}
		// PaymentFailed and PaymentVoided are refused: payment emits neither of them after
		// PaymentCompleted, which led to this state.
	case Rejected, Released:
		switch in {
		case OrderCreated, PaymentCompleted, ReserveInventory, PaymentFailed, PaymentVoided, ShipmentFailed, ShipmentCancelled, ReleaseInventory:
			return Decision{Duplicate, s, NoEffect} // nothing is reserved, so there is nothing to compensate
		}
	case Cancelled:
		switch in {
		case PaymentFailed, PaymentVoided, ShipmentFailed, ShipmentCancelled, ReleaseInventory:
			return Decision{Duplicate, s, NoEffect}
		}
		// OrderCreated, PaymentCompleted and ReserveInventory are the late steps that the tombstone is for.
	case Shipped:
		switch in {
		case OrderCreated, PaymentCompleted, ReserveInventory, ShipmentDispatched:
			return Decision{Duplicate, s, NoEffect}
		}
		// Dispatch is the pivot: after it, the pieces are never released.
	}
	return Decision{Refuse, s, NoEffect}
}
