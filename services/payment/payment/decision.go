package payment

// Action is the kind of a decision.
type Action string

// The actions.
const (
	Apply      Action = "apply"      // a step forward
	Wait       Action = "wait"       // true, but another fact decides the outcome
	Compensate Action = "compensate" // compensate, or forbid in advance
	Duplicate  Action = "duplicate"  // the effect is already there
	Refuse     Action = "refuse"     // a late step met a tombstone, or the input is impossible
)

// Effect is a call to the gateway that is needed before the state changes. Its answer is the next
// input.
type Effect string

// The effects. Voids and refunds are not effects, because they are decided before they are called:
// the worker calls them while the state is Returning.
const (
	NoEffect Effect = ""
	Charge   Effect = "charge" // take the money
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

// Decision is one cell of the transition table. Next is the next state. Emit lists the facts to
// emit, in order. With an Effect, Next is the present state, and the cell of the answer decides the
// rest.
type Decision struct {
	Action Action
	Next   State
	Effect Effect
	Emit   []Fact
	// Attention reports that a person has to look: the attempts are used up, or the gateway
	// contradicted itself. Only payment has this field.
	Attention bool
}
