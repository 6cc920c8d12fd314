package shipping

// Action is the kind of a decision.
type Action string

// The actions.
const (
	Apply      Action = "apply"      // a step forward
	Wait       Action = "wait"       // remember the fact; the other one is still to come
	Compensate Action = "compensate" // compensate, or forbid in advance
	Duplicate  Action = "duplicate"  // the effect is already there
	Refuse     Action = "refuse"     // a late step met a tombstone or the pivot, or the input is impossible
)

// Effect is a call to the carrier that is needed before the state changes. Its answer is the next
// input.
type Effect string

// The effects.
const (
	NoEffect Effect = ""
	Schedule Effect = "schedule" // book the parcel
	Cancel   Effect = "cancel"   // cancel the parcel, or forbid it in advance
)

// Fact is an integration event to emit, named by its type.
type Fact string

// The facts.
const (
	ShipmentScheduled            Fact = "ShipmentScheduled"
	ShipmentFailed               Fact = "ShipmentFailed"
	ShipmentDispatched           Fact = "ShipmentDispatched"
	ShipmentDelivered            Fact = "ShipmentDelivered"
	ShipmentCancelled            Fact = "ShipmentCancelled"
	ShipmentCancellationRejected Fact = "ShipmentCancellationRejected"
)

// Decision is one cell of the transition table. Next is the next state. Emit lists the facts to
// emit, in order. With an Effect, Next is the present state, and the cell of the answer decides the
// rest.
type Decision struct {
	Action Action
	Next   State
	Effect Effect
	Emit   []Fact
}
