package inventory

// Action is the kind of a decision.
type Action string

// The actions.
const (
	Apply      Action = "apply"      // a step forward
	Wait       Action = "wait"       // remember the fact; the other one is still to come
	Compensate Action = "compensate" // compensate, or forbid in advance
	Duplicate  Action = "duplicate"  // the effect is already there
	Refuse     Action = "refuse"     // a late step met a tombstone, or the input is impossible
)

// Effect is a movement of stock that belongs to the state change. It determines the event:
// InventoryReserved or InventoryReservationFailed, InventoryReleased, and none for Ship.
type Effect string

// The effects.
const (
	NoEffect Effect = ""
	Reserve  Effect = "reserve" // available → reserved, or state Rejected when the stock does not suffice
	Release  Effect = "release" // reserved → available
	Ship     Effect = "ship"    // reserved → shipped
)

// Decision is one cell of the transition table. Next is the next state. With the effect Reserve,
// Next is the state when the stock suffices; otherwise the state is Rejected. The event depends on
// the effect and the stock, so the decision does not list it.
type Decision struct {
	Action Action
	Next   State
	Effect Effect
}
