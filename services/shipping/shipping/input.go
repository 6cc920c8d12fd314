package shipping

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

// Answers of the carrier. The first three answer the effect Schedule, the others Cancel.
const (
	CarrierAccepted  Input = "CarrierAccepted"  // the parcel is on the carrier's list
	CarrierRefused   Input = "CarrierRefused"   // the carrier does not take the parcel, for good
	CarrierStopped   Input = "CarrierStopped"   // the key had been cancelled
	CarrierCancelled Input = "CarrierCancelled" // nothing will leave with this key
	CarrierDeparted  Input = "CarrierDeparted"  // too late, the parcel has left
)

// Updates of the carrier's tracking feed.
const (
	ParcelDispatched Input = "ParcelDispatched"
	ParcelDelivered  Input = "ParcelDelivered"
)

// Commands of the orchestrated saga. The first carries the address and says that the goods are
// reserved, the second says what OrderCancellationRequested says.
const (
	ScheduleShipment Input = "ScheduleShipment"
	CancelShipment   Input = "CancelShipment" // or forbid the booking
)

// Inputs lists all inputs.
func Inputs() []Input {
	return []Input{
		OrderCreated, InventoryReserved, InventoryReservationFailed, PaymentFailed, OrderCancellationRequested,
		CarrierAccepted, CarrierRefused, CarrierStopped, CarrierCancelled, CarrierDeparted,
		ParcelDispatched, ParcelDelivered,
		ScheduleShipment, CancelShipment,
	}
}
