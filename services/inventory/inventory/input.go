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

// Commands of the orchestrated saga. The first carries the items and says that the order is paid, the
// second says what an event that starts compensation says.
const (
	ReserveInventory Input = "ReserveInventory"
	ReleaseInventory Input = "ReleaseInventory" // or forbid the reservation
)

// Inputs lists all inputs.
func Inputs() []Input {
	return []Input{
		OrderCreated, PaymentCompleted, PaymentFailed, PaymentVoided, ShipmentFailed, ShipmentCancelled, ShipmentDispatched,
		ReserveInventory, ReleaseInventory,
	}
}
