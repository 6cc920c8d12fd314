package orchestrator

// State is the state of one order's saga. The zero value is None.
type State string

// The states of a saga that goes forward. In the first four, the step's command was sent and the
// answer is open.
const (
	None       State = ""           // nothing known of the order
	Charging   State = "CHARGING"   // payment takes the money
	Reserving  State = "RESERVING"  // inventory sets the pieces aside
	Scheduling State = "SCHEDULING" // shipping books the parcel
	Confirming State = "CONFIRMING" // the order becomes CONFIRMED
	Confirmed  State = "CONFIRMED"  // every step is done; the parcel has not left
	Shipped    State = "SHIPPED"    // the parcel has left: the pivot, no compensation any more
	Delivered  State = "DELIVERED"  // the parcel has arrived
)

// The states of a saga that goes back. The compensation was sent and the answer is open.
const (
	Stopping  State = "STOPPING"  // shipping cancels the parcel
	Releasing State = "RELEASING" // inventory releases the pieces
	Refunding State = "REFUNDING" // payment voids the charge or returns the money
	Closing   State = "CLOSING"   // the order becomes CANCELLED
	Cancelled State = "CANCELLED" // no money is held
)

// States lists all states.
func States() []State {
	return []State{
		None, Charging, Reserving, Scheduling, Confirming, Confirmed, Shipped, Delivered,
		Stopping, Releasing, Refunding, Closing, Cancelled,
	}
}

// Ended reports whether the saga is over.
func (s State) Ended() bool { return s == Delivered || s == Cancelled }
