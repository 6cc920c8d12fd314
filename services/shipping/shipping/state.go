package shipping

// State is the state of one order's shipment. The zero value is None.
type State string

// The states. Failed, Delivered and Cancelled are final.
const (
	None                State = ""                     // nothing known of the order
	AwaitingReservation State = "AWAITING_RESERVATION" // address known, goods not reserved yet
	AwaitingAddress     State = "AWAITING_ADDRESS"     // goods reserved, address not known yet
	Scheduled           State = "SCHEDULED"            // the carrier has taken the parcel
	Failed              State = "FAILED"               // the carrier has refused the parcel
	Dispatched          State = "DISPATCHED"           // the parcel has left: the pivot
	Delivered           State = "DELIVERED"            // the parcel has arrived
	Cancelled           State = "CANCELLED"            // cancelled before the parcel left; a tombstone when nothing was scheduled
)

// States lists all states.
func States() []State {
	return []State{None, AwaitingReservation, AwaitingAddress, Scheduled, Failed, Dispatched, Delivered, Cancelled}
}

// Ended reports whether the state is final.
func (s State) Ended() bool { return s == Failed || s == Delivered || s == Cancelled }
