package notification

// Action is the kind of a decision.
type Action string

// The actions.
const (
	Apply     Action = "apply"     // a step forward
	Wait      Action = "wait"      // an attempt failed; there will be another one
	Ignore    Action = "ignore"    // an event of the other style, or of an old order
	Duplicate Action = "duplicate" // the effect is already there
	Refuse    Action = "refuse"    // the input is impossible in the state
)

// Effect is a call that is needed before the state changes. Its answer is the next input.
type Effect string

// The effects.
const (
	NoEffect Effect = ""
	AskOrder Effect = "ask the order service" // answered by OrderShown
)

// Decision is one cell of the transition table. Next is the next state. With an Effect, Next is the
// present state, and the cell of the answer decides the rest.
type Decision struct {
	Action Action
	Next   State
	Effect Effect
}
