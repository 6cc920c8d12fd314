package orchestrator

// Action is the kind of a decision.
type Action string

// The actions.
const (
	Apply      Action = "apply"      // a step forward, or the next compensation
	Wait       Action = "wait"       // true, but another fact decides the outcome
	Compensate Action = "compensate" // the saga turns back
	Duplicate  Action = "duplicate"  // already known, or superseded by a known fact
	Refuse     Action = "refuse"     // contradicts what is known; the state does not change
)

// Effect is a command to send to a participant, named by its type.
type Effect string

// The commands.
const (
	NoEffect         Effect = ""
	ChargePayment    Effect = "ChargePayment"
	RefundPayment    Effect = "RefundPayment" // or void the charge, when its outcome is unknown
	ReserveInventory Effect = "ReserveInventory"
	ReleaseInventory Effect = "ReleaseInventory" // or forbid the reservation
	ScheduleShipment Effect = "ScheduleShipment"
	CancelShipment   Effect = "CancelShipment" // or forbid the booking; refused after the dispatch
	ConfirmOrder     Effect = "ConfirmOrder"
	CancelOrder      Effect = "CancelOrder"
)

// Effects lists all commands.
func Effects() []Effect {
	return []Effect{
		ChargePayment, RefundPayment, ReserveInventory, ReleaseInventory,
		ScheduleShipment, CancelShipment, ConfirmOrder, CancelOrder,
	}
}

// Decision is one cell of the transition table. Next is the next state.
type Decision struct {
	Action Action
	Next   State
	Effect Effect // the command to send, or NoEffect
	// Attention reports that a person has to look: an answer is late, a refund does not go through,
	// or a participant contradicts itself. A later decision with another state ends it.
	Attention bool
}
