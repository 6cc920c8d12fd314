package order

// State is the state of an order. The values are part of the HTTP contract, as the order's status.
// The zero value is None.
type State string

// The states. Delivered, Cancelled and Discarded are final.
const (
	None       State = ""           // no such order
	Pending    State = "PENDING"    // accepted; payment, inventory and shipping work on it
	Confirmed  State = "CONFIRMED"  // paid, reserved and scheduled with the carrier
	Shipped    State = "SHIPPED"    // the parcel has left: the pivot, no compensation any more
	Delivered  State = "DELIVERED"  // the parcel has arrived
	Cancelling State = "CANCELLING" // cancellation requested; shipping decides
	Cancelled  State = "CANCELLED"  // no money is held

	Draft     State = "DRAFT"     // being written; no other service knows of it
	Discarded State = "DISCARDED" // a draft that was given up
)

// States lists all states.
func States() []State {
	return []State{None, Pending, Confirmed, Shipped, Delivered, Cancelling, Cancelled, Draft, Discarded}
}

// Ended reports whether a placed order is in a final state.
func (s State) Ended() bool { return s == Delivered || s == Cancelled }

// Placed reports whether the order was placed. Nothing is published about an order before.
func (s State) Placed() bool { return s != None && s != Draft && s != Discarded }
