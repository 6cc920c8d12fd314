package order

import "time"

// Input is what an order can be asked (commands) or told (facts other services
// publish). The kinds below are all there are.
type Input struct {
	Kind   Kind
	Reason string // of failures, refunds and cancellations
	Detail string // free text for people
	// TrackingID of ShipmentScheduled and ShipmentDispatched.
	TrackingID string
	// DeliveredAt of ShipmentDelivered.
	DeliveredAt time.Time
}

// Kind names an input.
type Kind string

const (
	// Commands.
	RequestCancellation Kind = "RequestCancellation" // the customer asks
	PassDeadline        Kind = "PassDeadline"        // the saga's deadline is over
	// Facts.
	PaymentFailed                Kind = "PaymentFailed"
	PaymentRefunded              Kind = "PaymentRefunded"
	PaymentVoided                Kind = "PaymentVoided"
	PaymentRefundFailed          Kind = "PaymentRefundFailed"
	InventoryReservationFailed   Kind = "InventoryReservationFailed"
	ShipmentScheduled            Kind = "ShipmentScheduled"
	ShipmentFailed               Kind = "ShipmentFailed"
	ShipmentDispatched           Kind = "ShipmentDispatched"
	ShipmentDelivered            Kind = "ShipmentDelivered"
	ShipmentCancellationRejected Kind = "ShipmentCancellationRejected"
)

// Outcome says what an order makes of an input.
type Outcome string

const (
	Apply      Outcome = "apply"      // it moves the order on
	Duplicate  Outcome = "duplicate"  // known already, or overtaken by what was known
	Compensate Outcome = "compensate" // the order begins to undo what was done
	Wait       Outcome = "wait"       // true, but the fact that decides is still to come
	Refuse     Outcome = "refuse"     // too late or contradictory; the status stays
)

// step is what a cell of the table records.
type step int

const (
	nothing step = iota
	confirm
	ship
	deliver
	requestCancellation
	rejectCancellation
	noteFailure
	cancel
	raiseAttention
)

// Decision is an outcome and the events that record it, none when there is
// nothing new.
type Decision struct {
	Outcome Outcome
	Events  []Event
}

// table is the total transition table, one switch per status so that a cell can
// be read without running anything. What no case names is refused.
//
// Facts of one topic arrive in order, those of different topics in any order. That
// is why money coming back ends an order whether or not the failure behind it was
// heard of, and why a dispatch implies the schedule.
func table(s Status, k Kind) (Outcome, step) {
	switch s {
	case Pending:
		switch k {
		case RequestCancellation, PassDeadline:
			return Compensate, requestCancellation
		case ShipmentScheduled:
			return Apply, confirm
		case ShipmentDispatched:
			return Apply, ship
		case ShipmentDelivered:
			return Apply, deliver
		case InventoryReservationFailed, ShipmentFailed:
			return Wait, noteFailure // the order ends when the money is back
		case PaymentFailed, PaymentRefunded, PaymentVoided:
			return Apply, cancel
		case PaymentRefundFailed:
			return Apply, raiseAttention
		}
	case Confirmed:
		switch k {
		case RequestCancellation:
			return Compensate, requestCancellation
		case PassDeadline, ShipmentScheduled:
			return Duplicate, nothing
		case ShipmentDispatched:
			return Apply, ship
		case ShipmentDelivered:
			return Apply, deliver
		case PaymentFailed, PaymentRefunded, PaymentVoided, PaymentRefundFailed,
			InventoryReservationFailed, ShipmentFailed:
			return Refuse, raiseAttention // nobody cancelled, so nobody may undo
		}
	case Cancelling:
		switch k {
		case RequestCancellation, PassDeadline:
			return Duplicate, nothing
		case ShipmentScheduled:
			return Wait, nothing // shipping hears the request after it and answers
		case ShipmentDispatched:
			return Apply, ship // the parcel was faster
		case ShipmentDelivered:
			return Apply, deliver
		case ShipmentCancellationRejected:
			return Apply, rejectCancellation // the dispatch itself follows
		case InventoryReservationFailed, ShipmentFailed:
			return Wait, noteFailure
		case PaymentFailed, PaymentRefunded, PaymentVoided:
			return Apply, cancel
		case PaymentRefundFailed:
			return Apply, raiseAttention
		}
	case Shipped, Delivered:
		switch k {
		case PassDeadline, ShipmentScheduled, ShipmentDispatched:
			return Duplicate, nothing
		case ShipmentDelivered:
			if s == Delivered {
				return Duplicate, nothing
			}
			return Apply, deliver
		case ShipmentCancellationRejected:
			return Apply, rejectCancellation
		case PaymentFailed, PaymentRefunded, PaymentVoided, PaymentRefundFailed,
			InventoryReservationFailed, ShipmentFailed:
			return Refuse, raiseAttention // goods gone and money back
		}
	case Cancelled:
		switch k {
		case RequestCancellation, PassDeadline, PaymentFailed, PaymentRefunded, PaymentVoided,
			PaymentRefundFailed, InventoryReservationFailed, ShipmentFailed:
			return Duplicate, nothing
		case ShipmentDispatched, ShipmentDelivered:
			return Refuse, raiseAttention // money back and goods gone
		}
		// ShipmentScheduled comes late when shipping scheduled before it heard of the
		// cancellation and the refund overtook the schedule on its own topic.
	}
	return Refuse, nothing
}

// Decide says what the order makes of an input. It changes nothing; applying the
// decision's events does. Repeating an input after its events were applied gives
// no events.
func (o Order) Decide(in Input) Decision {
	outcome, step := table(o.Status, in.Kind)
	switch step {
	case confirm:
		return Decision{outcome, []Event{WasConfirmed{in.TrackingID}}}
	case ship:
		return Decision{outcome, o.shipped(in.TrackingID)}
	case deliver:
		var events []Event
		if o.Status != Shipped {
			events = o.shipped("")
		}
		return Decision{outcome, append(events, WasDelivered{in.DeliveredAt})}
	case requestCancellation:
		reason := ReasonCustomer
		if in.Kind == PassDeadline {
			reason = ReasonDeadline
		}
		return Decision{outcome, []Event{CancellationRequested{reason, in.Detail}}}
	case rejectCancellation:
		switch {
		case o.Cancellation == nil:
			return Decision{Refuse, nil} // nobody asked
		case o.Rejected:
			return Decision{Duplicate, nil}
		}
		return Decision{outcome, []Event{CancellationRejected{in.Reason}}}
	case noteFailure:
		if o.Failure != nil {
			return Decision{Duplicate, nil}
		}
		return Decision{outcome, []Event{FulfilmentFailed{failureReason(in.Kind), detail(in)}}}
	case cancel:
		cause := o.whyCancelled(in)
		return Decision{outcome, []Event{WasCancelled(cause)}}
	case raiseAttention:
		if o.Attention != nil {
			return Decision{Duplicate, nil}
		}
		return Decision{outcome, []Event{NeedsAttention{string(in.Kind), detail(in)}}}
	}
	return Decision{outcome, nil}
}

// shipped gives what a dispatch means. From PENDING it includes the confirmation:
// the carrier dispatches only what was scheduled, so the schedule got lost.
func (o Order) shipped(trackingID string) []Event {
	if trackingID == "" {
		trackingID = o.TrackingID
	}
	if o.Status == Pending {
		return []Event{WasConfirmed{trackingID}, WasShipped{trackingID}}
	}
	return []Event{WasShipped{trackingID}}
}

// whyCancelled prefers what the order itself decided, then the failure it heard
// of, then what the returning money says. The order of topics thus does not change
// the answer: payment gives the failure's reason with the refund.
func (o Order) whyCancelled(in Input) Cause {
	switch {
	case o.Cancellation != nil:
		return *o.Cancellation
	case in.Kind == PaymentFailed:
		return Cause{ReasonPaymentFailed, detail(in)}
	case o.Failure != nil:
		return *o.Failure
	}
	switch in.Reason {
	case ReasonCustomer, ReasonDeadline, ReasonPaymentFailed, ReasonOutOfStock, ReasonShipmentFailed:
		return Cause{in.Reason, in.Detail}
	}
	return Cause{ReasonMoneyReturned, detail(in)}
}

func failureReason(k Kind) string {
	if k == InventoryReservationFailed {
		return ReasonOutOfStock
	}
	return ReasonShipmentFailed
}

// detail puts a participant's code and words together for people to read.
func detail(in Input) string {
	switch {
	case in.Reason == "":
		return in.Detail
	case in.Detail == "":
		return in.Reason
	}
	return in.Reason + ": " + in.Detail
}
