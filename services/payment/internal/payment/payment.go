// Package payment decides what one order's payment does when an event, an answer of the
// card gateway or a command arrives, whatever the order of arrival. It is pure: it holds
// no connection, reads no clock, and the same history always gives the same decisions.
//
// It guarantees that money which is known or suspected to be taken for a saga that is
// being undone has a state of its own (Voiding, Refunding, RefundFailed) until the
// gateway has said what became of it, that a capture is told once as PaymentCompleted and
// its return once as PaymentRefunded, and that a saga which was undone takes no charge
// any more: the row is a tombstone.
//
// It cannot know whether an unanswered charge took money. Only the gateway does, so it
// is asked by key: a void answers "voided" (nothing was taken and nothing will be),
// "declined" or "captured" (then it is refunded).
package payment

// State is where one order's payment stands.
type State string

// The states. Failed, Voided and Refunded are final.
const (
	None         State = "NONE"          // not charged yet, as far as is known
	Completed    State = "COMPLETED"     // the money is captured
	Failed       State = "FAILED"        // the card was declined
	Voiding      State = "VOIDING"       // undone before anything was known; the gateway is asked to stop the charge
	Voided       State = "VOIDED"        // stopped before any capture: the tombstone
	Refunding    State = "REFUNDING"     // captured and to be given back
	Refunded     State = "REFUNDED"      // given back
	RefundFailed State = "REFUND_FAILED" // attempts ran out; a person has to act
)

// States lists all states.
func States() []State {
	return []State{None, Completed, Failed, Voiding, Voided, Refunding, Refunded, RefundFailed}
}

// Returning tells whether the worker has a call to make for a payment in this state.
func (s State) Returning() bool { return s == Voiding || s == Refunding }

// Input is something a payment reacts to.
type Input string

// Events of other services. The last three compensate: they undo the saga.
const (
	OrderCreated               Input = "OrderCreated"
	InventoryReservationFailed Input = "InventoryReservationFailed"
	ShipmentFailed             Input = "ShipmentFailed"
	ShipmentCancelled          Input = "ShipmentCancelled"
)

// Answers of the gateway to a charge.
const (
	ChargeCaptured Input = "ChargeCaptured" // the money is taken
	ChargeDeclined Input = "ChargeDeclined" // nothing is taken and, under this key, nothing will be: declined, or refused and the key closed
	ChargeStopped  Input = "ChargeStopped"  // the key was voided before
)

// Answers of the gateway to a void of the charge's key, and to a refund.
const (
	VoidConfirmed Input = "VoidConfirmed" // nothing was taken, and the key takes no charge any more
	VoidDeclined  Input = "VoidDeclined"  // the charge had been declined
	VoidTooLate   Input = "VoidTooLate"   // the money had been taken
	RefundMade    Input = "RefundMade"    // the money is back
)

// What the worker and operators say.
const (
	AttemptsSpent Input = "AttemptsSpent" // the allowed attempts brought no answer; said once a round
	RetryRefund   Input = "RetryRefund"   // an operator asks to try again
)

// Inputs lists all inputs.
func Inputs() []Input {
	return []Input{
		OrderCreated, InventoryReservationFailed, ShipmentFailed, ShipmentCancelled,
		ChargeCaptured, ChargeDeclined, ChargeStopped,
		VoidConfirmed, VoidDeclined, VoidTooLate, RefundMade,
		AttemptsSpent, RetryRefund,
	}
}

// Action is the kind of a decision.
type Action string

// The actions.
const (
	Apply      Action = "apply"      // a step forward
	Wait       Action = "wait"       // true, but what decides is still to come
	Compensate Action = "compensate" // undo, or forbid in advance
	Duplicate  Action = "duplicate"  // its effect is there already
	Refuse     Action = "refuse"     // a late step met a tombstone, or it cannot be
)

// Fact is an integration event to emit, named by its type.
type Fact string

// The facts.
const (
	PaymentCompleted    Fact = "PaymentCompleted"
	PaymentFailed       Fact = "PaymentFailed"
	PaymentRefunded     Fact = "PaymentRefunded"
	PaymentVoided       Fact = "PaymentVoided"
	PaymentRefundFailed Fact = "PaymentRefundFailed"
)

// Decision is one cell of the transition table.
type Decision struct {
	Action Action
	Next   State
	Emit   []Fact // what to tell, in this order
	// Charge asks for a call to the gateway before anything changes. Next is then the
	// present state; the answer is the next input.
	Charge bool
	// Attention says that a person has to look: attempts ran out, or the gateway
	// contradicted what it had said.
	Attention bool
}
