package shipping

import "slices"

// Decide is the total transition table: every pair of state and input has a decision. It has one
// switch per input, so that a reader can look up a cell without running the program. A test
// enumerates all cells. A pair that no case names is refused: the state stays and nothing is
// emitted.
func Decide(s State, in Input) Decision {
	switch in {
	case OrderCreated:
		return onOrderCreated(s)
	case InventoryReserved:
		return onInventoryReserved(s)
	case InventoryReservationFailed, PaymentFailed:
		return onAbandoned(s)
	case ScheduleShipment:
		return onScheduleShipment(s)
	case OrderCancellationRequested, CancelShipment:
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

func apply(next State, emit ...Fact) Decision { return Decision{Apply, next, NoEffect, emit} }
func compensate(next State, emit ...Fact) Decision {
	return Decision{Compensate, next, NoEffect, emit}
}
func wait(next State) Decision              { return Decision{Action: Wait, Next: next} }
func duplicate(s State) Decision            { return Decision{Action: Duplicate, Next: s} }
func refuse(s State, emit ...Fact) Decision { return Decision{Refuse, s, NoEffect, emit} }

func onOrderCreated(s State) Decision {
	switch s {
	case None:
		return wait(AwaitingReservation)
	case AwaitingAddress:
		return Decision{Action: Apply, Next: s, Effect: Schedule}
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
		return Decision{Action: Apply, Next: s, Effect: Schedule}
	case Cancelled:
		// The ShipmentCancelled that left the tombstone makes inventory release the goods.
		return refuse(s)
	}
	return duplicate(s)
}

// onScheduleShipment decides on the command that brings the address and the goods at once.
func onScheduleShipment(s State) Decision {
	switch s {
	case None, AwaitingReservation, AwaitingAddress:
		return Decision{Action: Apply, Next: s, Effect: Schedule}
	case Cancelled:
		return refuse(s)
	}
	return duplicate(s)
}

// onAbandoned decides when the saga ended before there was anything to ship. No service waits for
// an answer of shipping, so nothing is emitted. Payment never emits PaymentFailed after
// PaymentCompleted, and inventory emits either reserved or failed. So no parcel can exist, and the
// carrier is not called.
func onAbandoned(s State) Decision {
	switch s {
	case None, AwaitingReservation:
		return compensate(Cancelled)
	case Cancelled:
		return duplicate(s)
	}
	return refuse(s)
}

// onCancellationRequested calls the carrier even when this row has no schedule. Another process may
// be scheduling at this moment, and only the carrier's tombstone decides that race.
func onCancellationRequested(s State) Decision {
	switch s {
	case None, AwaitingReservation, AwaitingAddress, Scheduled:
		return Decision{Action: Compensate, Next: s, Effect: Cancel}
	case Dispatched, Delivered:
		return refuse(s, ShipmentCancellationRejected)
	}
	// Failed: ShipmentFailed has already started the compensations that end the order.
	return duplicate(s)
}

func onScheduleAnswer(s State, in Input) Decision {
	switch s {
	case None, AwaitingReservation, AwaitingAddress: // None: the command is the first that shipping learns of the order
		switch in {
		case CarrierAccepted:
			return apply(Scheduled, ShipmentScheduled)
		case CarrierRefused:
			return compensate(Failed, ShipmentFailed)
		case CarrierStopped:
			// The key is cancelled at the carrier but not in this row. The process that cancelled
			// it died or has not committed yet, or the carrier's staff cancelled it. In all three
			// cases nothing will leave. Emitting that now keeps the saga from waiting.
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
		// The answer to the schedule request was lost, and the parcel left. The answer to the
		// cancellation is the first to report it.
		return apply(Dispatched, ShipmentScheduled, ShipmentDispatched, ShipmentCancellationRejected)
	case Scheduled:
		if in == CarrierCancelled {
			return compensate(Cancelled, ShipmentCancelled)
		}
		// The dispatch is emitted before the rejection, so that every consumer receives the reason
		// before it receives "too late".
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

// onTracking takes the feed as proof. A parcel with the shipment's key has left, so it was
// scheduled, whether or not the carrier's answer arrived. The missed events are emitted first.
// Deferring the feed until the answer is recorded would let one lost answer delay all other
// parcels.
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
		// The shipment was cancelled or refused, and all services acted on that: the money is being
		// returned, and the goods count as available. That cannot be undone, but a person has to be
		// informed once ([EmitDispatchOnce]).
		return refuse(s, ShipmentDispatched)
	}
	return refuse(s)
}

// EmitDispatchOnce removes ShipmentDispatched from a decision when the service has emitted it
// before. Only a shipment that was cancelled or refused can decide for a dispatch repeatedly,
// because its state does not show the dispatch.
func EmitDispatchOnce(d Decision, emitted bool) Decision {
	if emitted {
		d.Emit = slices.DeleteFunc(slices.Clone(d.Emit), func(f Fact) bool { return f == ShipmentDispatched })
	}
	return d
}

// DropRejection removes the rejection of a cancellation from a decision. It is for a request that
// is repeated after it was answered. Every other request is answered.
func DropRejection(d Decision) Decision {
	d.Emit = slices.DeleteFunc(slices.Clone(d.Emit), func(f Fact) bool { return f == ShipmentCancellationRejected })
	return d
}
