package payment

// Input is something a payment reacts to.
type Input string

// Events of other services. The last three start compensation.
const (
	OrderCreated               Input = "OrderCreated"
	InventoryReservationFailed Input = "InventoryReservationFailed"
	ShipmentFailed             Input = "ShipmentFailed"
	ShipmentCancelled          Input = "ShipmentCancelled"
)

// Answers of the gateway to a charge.
const (
	ChargeCaptured Input = "ChargeCaptured" // the money is taken
	ChargeDeclined Input = "ChargeDeclined" // nothing is or will be taken with this key: declined, or refused and the key closed
	ChargeStopped  Input = "ChargeStopped"  // the key had been voided
)

// Answers of the gateway to a void of the charge's key, and to a refund.
const (
	VoidConfirmed Input = "VoidConfirmed" // nothing was taken, and the key takes no charge any more
	VoidDeclined  Input = "VoidDeclined"  // the charge had been declined
	VoidTooLate   Input = "VoidTooLate"   // the money had been taken
	RefundMade    Input = "RefundMade"    // the money is returned
)

// Reports of the worker and commands of operators.
const (
	AttemptsSpent Input = "AttemptsSpent" // the allowed attempts got no answer; one input per round of attempts
	RetryRefund   Input = "RetryRefund"   // an operator starts another round
)

// Commands of the orchestrated saga. The first says what OrderCreated says, the second what an event
// that starts compensation says.
const (
	ChargePayment Input = "ChargePayment"
	RefundPayment Input = "RefundPayment" // or void the charge
)

// Inputs lists all inputs.
func Inputs() []Input {
	return []Input{
		OrderCreated, InventoryReservationFailed, ShipmentFailed, ShipmentCancelled,
		ChargeCaptured, ChargeDeclined, ChargeStopped,
		VoidConfirmed, VoidDeclined, VoidTooLate, RefundMade,
		AttemptsSpent, RetryRefund,
		ChargePayment, RefundPayment,
	}
}
