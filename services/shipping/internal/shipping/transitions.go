package shipping

import "slices"

// Decide is the total transition table: every state and every input have an answer. It
// is written as one switch per input so that a cell can be read without running
// anything; the test enumerates all of them. What no case names is refused: the state
// stays and nothing is told.
func Decide(s State, in Input) Decision {
	switch in {
	case OrderCreated:
		return onOrderCreated(s)
	case InventoryReserved:
		return onInventoryReserved(s)
	case InventoryReservationFailed, PaymentFailed:
		return onAbandoned(s)
	case OrderCancellationRequested:
		return onCancellationRequested(s)
	case CarrierAccepted, CarrierRefused, CarrierStopped:
		return onScheduleAnswer(s, in)
	case CarrierCancelled, CarrierDeparted:
		return onCancelAnswer(s, in)
	case ParcelDispatched, ParcelDelivered:
		return onTracking(s, in)
	}
	return refuse(s)
}

func apply(next State, emit ...Fact) Decision { return Decision{Apply, next, AskNothing, emit} }
func compensate(next State, emit ...Fact) Decision {
	return Decision{Compensate, next, AskNothing, emit}
}
func wait(next State) Decision              { return Decision{Action: Wait, Next: next} }
func duplicate(s State) Decision            { return Decision{Action: Duplicate, Next: s} }
func refuse(s State, emit ...Fact) Decision { return Decision{Refuse, s, AskNothing, emit} }

func onOrderCreated(s State) Decision {
	switch s {
	case None:
		return wait(AwaitingReservation)
	case AwaitingAddress:
		return Decision{Action: Apply, Next: s, Ask: AskSchedule}
	case Cancelled:
		return refuse(s)
	}
	return duplicate(s)
}

func onInventoryReserved(s State) Decision {
	switch s {
	case None:
		return wait(AwaitingAddress)
	case AwaitingReservation:
		return Decision{Action: Apply, Next: s, Ask: AskSchedule}
	case Cancelled:
		// The ShipmentCancelled that left the tombstone makes inventory release.
		return refuse(s)
	}
	return duplicate(s)
}

// onAbandoned: the saga ended before there was anything to ship. Nobody waits for an
// answer of shipping, so there is none. Payment says completed or failed and inventory
// reserved or failed, never both, so no parcel can exist and the carrier is not asked.
func onAbandoned(s State) Decision {
	switch s {
	case None, AwaitingReservation:
		return compensate(Cancelled)
	case Cancelled:
		return duplicate(s)
	}
	return refuse(s)
}

// onCancellationRequested asks the carrier even when nothing was scheduled as far as
// this row says: another process may be scheduling at this moment, and only the
// carrier's tombstone decides that race.
func onCancellationRequested(s State) Decision {
	switch s {
	case None, AwaitingReservation, AwaitingAddress, Scheduled:
		return Decision{Action: Compensate, Next: s, Ask: AskCancel}
	case Dispatched, Delivered:
		return refuse(s, ShipmentCancellationRejected)
	}
	// Failed: ShipmentFailed has started the compensations that end the order.
	return duplicate(s)
}

func onScheduleAnswer(s State, in Input) Decision {
	switch s {
	case AwaitingReservation, AwaitingAddress:
		switch in {
		case CarrierAccepted:
			return apply(Scheduled, ShipmentScheduled)
		case CarrierRefused:
			return compensate(Failed, ShipmentFailed)
		case CarrierStopped:
			// Cancelled at the carrier, but not recorded here: the process that asked
			// for it died, or is about to commit, or somebody else did it. In all three
			// nothing will leave, and saying so now keeps the saga from waiting.
			return compensate(Cancelled, ShipmentCancelled)
		}
	case Scheduled, Dispatched, Delivered:
		if in == CarrierAccepted {
			return duplicate(s)
		}
	case Failed, Cancelled:
		if in == CarrierRefused || (in == CarrierStopped && s == Cancelled) {
			return duplicate(s) // nothing leaves, as recorded
		}
	}
	return refuse(s)
}

func onCancelAnswer(s State, in Input) Decision {
	switch s {
	case None, AwaitingReservation, AwaitingAddress:
		if in == CarrierCancelled {
			return compensate(Cancelled, ShipmentCancelled)
		}
		// The answer to the scheduling got lost, the parcel left, and the cancellation
		// is the first to hear of it.
		return apply(Dispatched, ShipmentScheduled, ShipmentDispatched, ShipmentCancellationRejected)
	case Scheduled:
		if in == CarrierCancelled {
			return compensate(Cancelled, ShipmentCancelled)
		}
		// Dispatch is told before the rejection, so that nobody hears "too late"
		// without having heard why.
		return apply(Dispatched, ShipmentDispatched, ShipmentCancellationRejected)
	case Failed, Cancelled:
		if in == CarrierCancelled {
			return duplicate(s)
		}
	case Dispatched, Delivered:
		if in == CarrierDeparted {
			return refuse(s, ShipmentCancellationRejected)
		}
	}
	return refuse(s)
}

// onTracking takes the feed as proof: a parcel under our key has left, so it was
// scheduled, whether or not the carrier's answer to that ever arrived. What was missed
// is told first. Holding the feed back until the answer is recorded would let one lost
// answer keep all other parcels waiting.
func onTracking(s State, in Input) Decision {
	delivered := in == ParcelDelivered
	switch s {
	case None, AwaitingReservation, AwaitingAddress:
		if delivered {
			return apply(Delivered, ShipmentScheduled, ShipmentDispatched, ShipmentDelivered)
		}
		return apply(Dispatched, ShipmentScheduled, ShipmentDispatched)
	case Scheduled:
		if delivered {
			return apply(Delivered, ShipmentDispatched, ShipmentDelivered)
		}
		return apply(Dispatched, ShipmentDispatched)
	case Dispatched:
		if delivered {
			return apply(Delivered, ShipmentDelivered)
		}
		return duplicate(s)
	case Delivered:
		return duplicate(s)
	case Failed, Cancelled:
		// The shipment was called off and everybody acted on it: the money is on its way
		// back, the goods count as here. Nothing of that can be undone, but people have
		// to hear of it, once (Once).
		return refuse(s, ShipmentDispatched)
	}
	return refuse(s)
}

// Once takes from a decision what is told only once an order and has been told:
// dispatchTold says so of ShipmentDispatched. Only a shipment that was called off can be
// told of a dispatch again and again, because its state does not show it.
func Once(d Decision, dispatchTold bool) Decision {
	if dispatchTold {
		d.Emit = slices.DeleteFunc(slices.Clone(d.Emit), func(f Fact) bool { return f == ShipmentDispatched })
	}
	return d
}

// Again takes from a decision the rejection of a cancellation: the request that asks for it
// is one that has had it. Another request is answered, every time.
func Again(d Decision) Decision {
	d.Emit = slices.DeleteFunc(slices.Clone(d.Emit), func(f Fact) bool { return f == ShipmentCancellationRejected })
	return d
}
