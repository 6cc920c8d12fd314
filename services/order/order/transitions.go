package order

// Decide is the total transition table: every pair of state and input has a decision. It has one
// switch per state, so that a reader can look up a cell without running the program. A test
// enumerates all cells. A pair that no case names is refused. [Order.Decide] turns the effect of a
// cell into domain events. Drafts refuse every input: no other service knows of them, and their own
// commands are those of [Order.Edit].
//
// Facts of one topic arrive in order; facts of different topics arrive in any order. So returned
// money ends an order whether or not the failure that caused it has arrived, and a dispatch implies
// the schedule.
func Decide(s State, in Input) Decision {
	switch s {
	case Pending:
		switch in {
		case RequestCancellation, PassDeadline:
			return Decision{Action: Compensate, Effect: BeginCancellation}
		case ShipmentScheduled, ConfirmOrder:
			return Decision{Action: Apply, Effect: Confirm}
		case ShipmentDispatched:
			return Decision{Action: Apply, Effect: Ship}
		case ShipmentDelivered:
			return Decision{Action: Apply, Effect: Deliver}
		case InventoryReservationFailed, ShipmentFailed:
			return Decision{Action: Wait, Effect: NoteFailure} // the order ends when the money is returned
		case PaymentFailed, PaymentRefunded, PaymentVoided, CancelOrder:
			return Decision{Action: Apply, Effect: Cancel}
		case PaymentRefundFailed:
			return Decision{Action: Apply, Effect: RaiseAttention}
		}
	case Confirmed:
		switch in {
		case RequestCancellation:
			return Decision{Action: Compensate, Effect: BeginCancellation}
		case PassDeadline, ShipmentScheduled, ConfirmOrder:
			return Decision{Action: Duplicate}
		case ShipmentDispatched:
			return Decision{Action: Apply, Effect: Ship}
		case ShipmentDelivered:
			return Decision{Action: Apply, Effect: Deliver}
		case PaymentFailed, PaymentRefunded, PaymentVoided, PaymentRefundFailed,
			InventoryReservationFailed, ShipmentFailed, CancelOrder:
			return Decision{Action: Refuse, Effect: RaiseAttention} // no service was asked to cancel, so no service may compensate
		}
	case Cancelling:
		switch in {
		case RequestCancellation, PassDeadline:
			return Decision{Action: Duplicate}
		case ShipmentScheduled:
			return Decision{Action: Wait} // shipping receives the request after scheduling, and answers it
		case ShipmentDispatched:
			return Decision{Action: Apply, Effect: Ship} // the parcel left before the cancellation
		case ShipmentDelivered:
			return Decision{Action: Apply, Effect: Deliver}
		case ShipmentCancellationRejected:
			return Decision{Action: Apply, Effect: RejectCancellation} // the dispatch follows as a separate event
		case InventoryReservationFailed, ShipmentFailed:
			return Decision{Action: Wait, Effect: NoteFailure}
		case PaymentFailed, PaymentRefunded, PaymentVoided, CancelOrder:
			return Decision{Action: Apply, Effect: Cancel}
		case PaymentRefundFailed:
			return Decision{Action: Apply, Effect: RaiseAttention}
		}
	case Shipped, Delivered:
		switch in {
		case PassDeadline, ShipmentScheduled, ShipmentDispatched, ConfirmOrder:
			return Decision{Action: Duplicate}
		case ShipmentDelivered:
			if s == Delivered {
				return Decision{Action: Duplicate}
			}
			return Decision{Action: Apply, Effect: Deliver}
		case ShipmentCancellationRejected:
			return Decision{Action: Apply, Effect: RejectCancellation}
		case PaymentFailed, PaymentRefunded, PaymentVoided, PaymentRefundFailed,
			InventoryReservationFailed, ShipmentFailed, CancelOrder:
			return Decision{Action: Refuse, Effect: RaiseAttention} // the goods have left and the money was returned
		}
	case Cancelled:
		switch in {
		case RequestCancellation, PassDeadline, PaymentFailed, PaymentRefunded, PaymentVoided,
			PaymentRefundFailed, InventoryReservationFailed, ShipmentFailed, CancelOrder:
			return Decision{Action: Duplicate}
		case ShipmentDispatched, ShipmentDelivered:
			return Decision{Action: Refuse, Effect: RaiseAttention} // the money was returned and the goods have left
		}
		// ConfirmOrder is refused, and so is ShipmentScheduled. They arrive late when shipping scheduled the parcel before
		// it received the cancellation, and the refund arrived first on its own topic.
	}
	return Decision{Action: Refuse}
}
