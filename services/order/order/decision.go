package order

// Action is the kind of a decision.
type Action string

// The actions.
const (
	Apply      Action = "apply"      // a step forward
	Wait       Action = "wait"       // true, but another fact decides the outcome
	Compensate Action = "compensate" // the order starts compensation
	Duplicate  Action = "duplicate"  // already known, or superseded by a known fact
	Refuse     Action = "refuse"     // too late or contradictory; the state does not change
)

// Effect is the change that the order records in its stream.
type Effect string

// The effects.
const (
	NoEffect           Effect = ""
	Confirm            Effect = "confirm"
	Ship               Effect = "ship"    // and confirm first when the confirmation is missing
	Deliver            Effect = "deliver" // and confirm and ship first when these are missing
	BeginCancellation  Effect = "begin cancellation"
	RejectCancellation Effect = "reject cancellation"
	NoteFailure        Effect = "note failure"
	Cancel             Effect = "cancel"
	RaiseAttention     Effect = "raise attention"
)

// Decision is one cell of the transition table. [Order.Decide] adds the domain events that record
// the decision; there are none when nothing is new. The next state is the order with these events
// applied.
type Decision struct {
	Action Action
	Effect Effect
	Emit   []Event
}
