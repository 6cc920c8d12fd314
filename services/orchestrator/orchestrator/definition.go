package orchestrator

import (
	"slices"
	"time"
)

// Step is one step of a saga.
type Step struct {
	Name string

	Waits   State         // the command was sent and the answer is open
	Command Effect        // what the participant is to do
	Due     time.Duration // how long the answer, or that of the compensation, may take before a person has to look
	Done    []Input       // answers after which the next step begins
	Failed  []Input       // answers that say that the step has no effect and never will have

	Undoes       State   // the compensation was sent and the answer is open
	Compensation Effect  // NoEffect: there is nothing to undo
	Undone       []Input // answers that say that the step has no effect any more and never will have

	// Pivot is set for the step that hands the parcel over: from its command on the parcel may
	// leave at any moment, and then the saga no longer goes back.
	Pivot bool
}

// Definition is what one version of the saga consists of. A released definition never changes,
// because sagas that began under it end under it.
type Definition struct {
	Version  int // from 1
	Steps    []Step
	CloseDue time.Duration // as [Step.Due], for CancelOrder
}

// Definitions returns all definitions that were released, the oldest first.
func Definitions() []Definition { return []Definition{first(), second()} }

func first() Definition {
	return Definition{
		Version: 1,
		Steps: []Step{
			{
				Name:  "charge",
				Waits: Charging, Command: ChargePayment, Due: 30 * time.Second,
				Done: []Input{PaymentCompleted}, Failed: []Input{PaymentFailed},
				Undoes: Refunding, Compensation: RefundPayment,
				Undone: []Input{PaymentRefunded, PaymentVoided, PaymentFailed},
			},
			{
				Name:  "reserve",
				Waits: Reserving, Command: ReserveInventory, Due: 30 * time.Second,
				Done: []Input{InventoryReserved}, Failed: []Input{InventoryReservationFailed},
				Undoes: Releasing, Compensation: ReleaseInventory,
				Undone: []Input{InventoryReleased, InventoryReservationFailed},
			},
			{
				Name:  "schedule",
				Waits: Scheduling, Command: ScheduleShipment, Due: 30 * time.Second,
				// ShipmentCancelled: the carrier's staff had cancelled the parcel's key.
				Done: []Input{ShipmentScheduled}, Failed: []Input{ShipmentFailed, ShipmentCancelled},
				Undoes: Stopping, Compensation: CancelShipment,
				Undone: []Input{ShipmentCancelled, ShipmentFailed},
				Pivot:  true,
			},
			{
				Name:  "confirm",
				Waits: Confirming, Command: ConfirmOrder, Due: 30 * time.Second,
				Done: []Input{OrderConfirmed},
			},
		},
		CloseDue: 30 * time.Second,
	}
}

// second reserves before it charges, so that an order which is out of stock is not charged and then
// refunded. The steps are those of [first] in another order: the same commands and states, so the
// participants need to know nothing of it.
func second() Definition {
	of := first()
	charge, reserve, schedule, confirm := of.Steps[0], of.Steps[1], of.Steps[2], of.Steps[3]
	return Definition{
		Version:  2,
		Steps:    []Step{reserve, charge, schedule, confirm},
		CloseDue: of.CloseDue,
	}
}

// waiting returns the step whose answer is open in a state, or -1.
func (d Definition) waiting(s State) int {
	return slices.IndexFunc(d.Steps, func(step Step) bool { return step.Waits == s })
}

// undoing returns the step whose compensation is open in a state, or -1.
func (d Definition) undoing(s State) int {
	return slices.IndexFunc(d.Steps, func(step Step) bool { return step.Compensation != NoEffect && step.Undoes == s })
}

// Due returns how long a saga may stay in a state before [DuePassed] is due, or 0 for ever.
func (d Definition) Due(s State) time.Duration {
	if i := max(d.waiting(s), d.undoing(s)); i >= 0 {
		return d.Steps[i].Due
	}
	if s == Closing {
		return d.CloseDue
	}
	return 0
}

// closing is the name of the step that [Closing] belongs to. No definition lists it, because every
// saga that goes back ends with it.
const closing = "close"

// StepOf returns the name of the step whose answer is open in a state, or "" where none is open.
func (d Definition) StepOf(s State) string {
	if i := max(d.waiting(s), d.undoing(s)); i >= 0 {
		return d.Steps[i].Name
	}
	if s == Closing {
		return closing
	}
	return ""
}

// CompensationsDue returns the compensations that a saga that goes back still waits for in a state, in
// the order in which they are sent: the first one was sent. A saga that goes forward, or that has
// nothing left to undo, has none.
func (d Definition) CompensationsDue(s State) []Effect {
	var due []Effect
	for i := d.undoing(s); i >= 0; i-- {
		if c := d.Steps[i].Compensation; c != NoEffect {
			due = append(due, c)
		}
	}
	return due
}
