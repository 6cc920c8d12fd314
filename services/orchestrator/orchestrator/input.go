package orchestrator

// Input is something a saga reacts to.
type Input string

// Events of the participants. They are the answers to commands, except the first two.
const (
	OrderCreated                 Input = "OrderCreated"
	OrderCancellationRequested   Input = "OrderCancellationRequested" // by the customer or the deadline
	OrderConfirmed               Input = "OrderConfirmed"
	OrderCancelled               Input = "OrderCancelled"
	PaymentCompleted             Input = "PaymentCompleted"
	PaymentFailed                Input = "PaymentFailed"
	PaymentRefunded              Input = "PaymentRefunded"
	PaymentVoided                Input = "PaymentVoided"
	PaymentRefundFailed          Input = "PaymentRefundFailed"
	InventoryReserved            Input = "InventoryReserved"
	InventoryReservationFailed   Input = "InventoryReservationFailed"
	InventoryReleased            Input = "InventoryReleased"
	ShipmentScheduled            Input = "ShipmentScheduled"
	ShipmentFailed               Input = "ShipmentFailed"
	ShipmentCancelled            Input = "ShipmentCancelled"
	ShipmentCancellationRejected Input = "ShipmentCancellationRejected"
	ShipmentDispatched           Input = "ShipmentDispatched" // by the carrier
	ShipmentDelivered            Input = "ShipmentDelivered"  // by the carrier
)

// Inputs of the orchestrator itself and of operators.
const (
	DuePassed Input = "DuePassed" // the state's time limit has passed; one input per state
	Retry     Input = "Retry"     // an operator has the state's command sent again
)

// Unchanged is the answer of a participant that had already done what the command asks for.
func Unchanged(command Effect) Input { return Input(command + ": unchanged") }

// Refused is the answer of a participant that will not do what the command asks for, for good.
func Refused(command Effect) Input { return Input(command + ": refused") }

// Facts lists the inputs that are events.
func Facts() []Input {
	return []Input{
		OrderCreated, OrderCancellationRequested, OrderConfirmed, OrderCancelled,
		PaymentCompleted, PaymentFailed, PaymentRefunded, PaymentVoided, PaymentRefundFailed,
		InventoryReserved, InventoryReservationFailed, InventoryReleased,
		ShipmentScheduled, ShipmentFailed, ShipmentCancelled, ShipmentCancellationRejected,
		ShipmentDispatched, ShipmentDelivered,
	}
}

// Inputs lists all inputs.
func Inputs() []Input {
	all := append(Facts(), DuePassed, Retry)
	for _, command := range Effects() {
		all = append(all, Unchanged(command), Refused(command))
	}
	return all
}
