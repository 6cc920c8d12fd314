package inventory

// Input is something the reservation reacts to.
type Input string

// Events of other services.
const (
	OrderCreated       Input = "OrderCreated"
	PaymentCompleted   Input = "PaymentCompleted"
	PaymentFailed      Input = "PaymentFailed"
	PaymentVoided      Input = "PaymentVoided"
	ShipmentFailed     Input = "ShipmentFailed"
	ShipmentCancelled  Input = "ShipmentCancelled"
	ShipmentDispatched Input = "ShipmentDispatched"
)

// Inputs lists all inputs.
func Inputs() []Input {
	return []Input{OrderCreated, PaymentCompleted, PaymentFailed, PaymentVoided, ShipmentFailed, ShipmentCancelled, ShipmentDispatched}
}
