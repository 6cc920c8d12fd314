package payment

// State is the state of one order's payment.
type State string

// The states. Failed, Voided and Refunded are final.
const (
	None         State = "NONE"          // not charged, as far as is known
	Completed    State = "COMPLETED"     // the money is captured
	Failed       State = "FAILED"        // the card was declined
	Voiding      State = "VOIDING"       // compensated while the charge's outcome was unknown; the worker voids the key
	Voided       State = "VOIDED"        // stopped before any capture: a tombstone
	Refunding    State = "REFUNDING"     // captured and to be refunded
	Refunded     State = "REFUNDED"      // the money is returned
	RefundFailed State = "REFUND_FAILED" // the attempts are used up; a person has to act
)

// States lists all states.
func States() []State {
	return []State{None, Completed, Failed, Voiding, Voided, Refunding, Refunded, RefundFailed}
}

// Returning reports whether the worker has to call the gateway for a payment in this state. Only
// payment has this method: its voids and refunds follow from the state, not from one input.
func (s State) Returning() bool { return s == Voiding || s == Refunding }

// Ended reports whether the state is final. One exception leads out of a final state: the gateway
// reports a capture although it had answered that there was none.
func (s State) Ended() bool { return s == Failed || s == Voided || s == Refunded }
