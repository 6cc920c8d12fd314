package inventory

// State is the state of one order's reservation. The zero value is None.
type State string

// The states. Rejected, Released, Cancelled and Shipped are final.
const (
	None            State = ""                 // nothing known of the order
	AwaitingPayment State = "AWAITING_PAYMENT" // items known, nothing reserved
	AwaitingItems   State = "AWAITING_ITEMS"   // paid, items not known yet, nothing reserved
	Reserved        State = "RESERVED"         // the pieces are reserved
	Rejected        State = "REJECTED"         // the stock did not suffice; nothing reserved
	Released        State = "RELEASED"         // was reserved, released again
	Cancelled       State = "CANCELLED"        // tombstone: cancelled before anything was reserved
	Shipped         State = "SHIPPED"          // the pieces left with the parcel
)

// States lists all states.
func States() []State {
	return []State{None, AwaitingPayment, AwaitingItems, Reserved, Rejected, Released, Cancelled, Shipped}
}

// Ended reports whether the state is final: no input changes it any more.
func (s State) Ended() bool {
	return s == Rejected || s == Released || s == Cancelled || s == Shipped
}
