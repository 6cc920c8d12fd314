// Package shipping decides what one order's shipment does when an event, an answer of
// the carrier or a tracking update arrives, whatever the order of arrival. It is pure:
// it holds no connection, reads no clock, and the same history always gives the same
// decisions.
//
// A shipment needs two facts that come on different topics: the address (OrderCreated)
// and the goods (InventoryReserved). Whichever comes second leads to the carrier. A
// cancellation may precede both; it leaves a tombstone, the state Cancelled, here and at
// the carrier, and both refuse the late step.
//
// Dispatch is the pivot of the saga: before it a cancellation wins, behind it the
// shipment does. Which of the two it was, only the carrier decides; this table asks it
// (Ask) and then takes its answer as a further input.
package shipping

// State is where one order's shipment stands. The zero value is None.
type State string

// The states. Failed, Delivered and Cancelled are final.
const (
	None                State = ""                     // nothing known of the order
	AwaitingReservation State = "AWAITING_RESERVATION" // address known, goods not reserved yet
	AwaitingAddress     State = "AWAITING_ADDRESS"     // goods reserved, address not known yet
	Scheduled           State = "SCHEDULED"            // the carrier has taken it
	Failed              State = "FAILED"               // the carrier has refused it
	Dispatched          State = "DISPATCHED"           // the parcel has left: the pivot
	Delivered           State = "DELIVERED"            // the parcel has arrived
	Cancelled           State = "CANCELLED"            // stopped before it left; a tombstone when it never began
)

// States lists all states.
func States() []State {
	return []State{None, AwaitingReservation, AwaitingAddress, Scheduled, Failed, Dispatched, Delivered, Cancelled}
}

// Input is something the shipment reacts to.
type Input string

// Events of other services.
const (
	OrderCreated               Input = "OrderCreated"
	InventoryReserved          Input = "InventoryReserved"
	InventoryReservationFailed Input = "InventoryReservationFailed"
	PaymentFailed              Input = "PaymentFailed"
	OrderCancellationRequested Input = "OrderCancellationRequested"
)

// Answers of the carrier. The first three answer AskSchedule, the others AskCancel.
const (
	CarrierAccepted  Input = "CarrierAccepted"  // it has the parcel on its list
	CarrierRefused   Input = "CarrierRefused"   // it does not take the parcel, for good
	CarrierStopped   Input = "CarrierStopped"   // the key was cancelled before
	CarrierCancelled Input = "CarrierCancelled" // nothing will leave under this key
	CarrierDeparted  Input = "CarrierDeparted"  // too late, the parcel has left
)

// Updates of the carrier's tracking feed.
const (
	ParcelDispatched Input = "ParcelDispatched"
	ParcelDelivered  Input = "ParcelDelivered"
)

// Inputs lists all inputs.
func Inputs() []Input {
	return []Input{
		OrderCreated, InventoryReserved, InventoryReservationFailed, PaymentFailed, OrderCancellationRequested,
		CarrierAccepted, CarrierRefused, CarrierStopped, CarrierCancelled, CarrierDeparted,
		ParcelDispatched, ParcelDelivered,
	}
}

// Action is the kind of a decision.
type Action string

// The actions.
const (
	Apply      Action = "apply"      // a step forward
	Wait       Action = "wait"       // remember it; the other half is still to come
	Compensate Action = "compensate" // undo, or forbid in advance
	Duplicate  Action = "duplicate"  // its effect is there already
	Refuse     Action = "refuse"     // a late step met a tombstone or the pivot, or cannot be
)

// Ask is a call to the carrier that has to be made before anything changes; its answer
// is the next input.
type Ask string

// The calls.
const (
	AskNothing  Ask = ""
	AskSchedule Ask = "schedule"
	AskCancel   Ask = "cancel"
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

// Decision is one cell of the transition table. Next is the state afterwards and Emit
// what to tell, in this order. With Ask set, Next is the present state: the answer's
// cell has the rest.
type Decision struct {
	Action Action
	Next   State
	Ask    Ask
	Emit   []Fact
}
