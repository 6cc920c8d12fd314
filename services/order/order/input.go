package order

import "time"

// Input is something the order reacts to.
type Input string

// Commands.
const (
	RequestCancellation Input = "RequestCancellation" // requested by the customer
	PassDeadline        Input = "PassDeadline"        // the saga's deadline has passed
)

// Commands of the orchestrated saga.
const (
	ConfirmOrder Input = "ConfirmOrder" // carries the tracking id, as ShipmentScheduled does
	CancelOrder  Input = "CancelOrder"  // everything is undone; carries the reason
)

// Events of other services.
const (
	PaymentFailed                Input = "PaymentFailed"
	PaymentRefunded              Input = "PaymentRefunded"
	PaymentVoided                Input = "PaymentVoided"
	PaymentRefundFailed          Input = "PaymentRefundFailed"
	InventoryReservationFailed   Input = "InventoryReservationFailed"
	ShipmentScheduled            Input = "ShipmentScheduled"
	ShipmentFailed               Input = "ShipmentFailed"
	ShipmentDispatched           Input = "ShipmentDispatched"
	ShipmentDelivered            Input = "ShipmentDelivered"
	ShipmentCancellationRejected Input = "ShipmentCancellationRejected"
)

// Inputs lists all inputs.
func Inputs() []Input {
	return []Input{
		RequestCancellation, PassDeadline,
		PaymentFailed, PaymentRefunded, PaymentVoided, PaymentRefundFailed,
		InventoryReservationFailed, ShipmentScheduled, ShipmentFailed,
		ShipmentDispatched, ShipmentDelivered, ShipmentCancellationRejected,
		ConfirmOrder, CancelOrder,
	}
}

// Message is an input with the data that goes into the order's domain events.
type Message struct {
	Input  Input
	Reason string // of failures, refunds and cancellations
	Detail string // free text for human readers
	// TrackingID is set for ShipmentScheduled, ShipmentDispatched and ConfirmOrder.
	TrackingID string
	// DeliveredAt is set for ShipmentDelivered.
	DeliveredAt time.Time
}
