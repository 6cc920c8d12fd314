// Package inventory decides what one order's reservation does when an event
// arrives, whatever the order of arrival. It is pure: it holds no connection,
// reads no clock, and the same history always gives the same decisions.
//
// A reservation needs two facts that come on different topics: the items
// (OrderCreated) and the permission to hold them (PaymentCompleted). Either may
// be first. A compensation may even precede both; it then leaves a tombstone,
// the state Cancelled, which refuses the late steps.
package inventory

import (
	"cmp"
	"math"
	"slices"
)

const (
	// MaxPieces bounds what one SKU can ever receive, the initial stock included. The counts
	// of a SKU are parts of that, so none of their sums overflows, and a client that keeps
	// numbers as doubles shows each of them exactly.
	MaxPieces = int64(1_000_000_000_000_000)
	// maxHeld bounds what one order can hold of a SKU, in pieces: what the events of a
	// reservation can say. An order has a million pieces a line at most.
	maxHeld = int64(math.MaxInt32)
)

// State is where one order's reservation stands. The zero value is None.
type State string

const (
	None            State = ""                 // nothing known of the order
	AwaitingPayment State = "AWAITING_PAYMENT" // items known, nothing held
	AwaitingItems   State = "AWAITING_ITEMS"   // paid, items not known yet, nothing held
	Reserved        State = "RESERVED"         // stock is held
	Rejected        State = "REJECTED"         // there was too little stock; nothing held
	Released        State = "RELEASED"         // was held, given back
	Cancelled       State = "CANCELLED"        // tombstone: stopped before anything was held
	Shipped         State = "SHIPPED"          // the parcel left with it
)

// States lists all states.
func States() []State {
	return []State{None, AwaitingPayment, AwaitingItems, Reserved, Rejected, Released, Cancelled, Shipped}
}

// Input is an event type the reservation reacts to.
type Input string

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

// Action is the kind of a decision.
type Action string

const (
	Apply      Action = "apply"      // a step forward
	Wait       Action = "wait"       // remember it; the other half is still to come
	Compensate Action = "compensate" // undo, or forbid in advance
	Duplicate  Action = "duplicate"  // its effect is there already
	Refuse     Action = "refuse"     // a late step met a tombstone, or cannot be
)

// Effect is what has to happen to the stock with the state change.
type Effect string

const (
	NoEffect Effect = ""
	Reserve  Effect = "reserve" // available → reserved, or Rejected when there is too little
	Release  Effect = "release" // reserved → available
	Ship     Effect = "ship"    // reserved → shipped
)

// Decision is one cell of the transition table. Next is the state afterwards;
// with the effect Reserve it is what follows when the stock suffices.
type Decision struct {
	Action Action
	Next   State
	Effect Effect
}

// Item is a quantity of one SKU. Quantity counts pieces and is at least 1.
type Item struct {
	SKU      string
	Quantity int64
}

// Shortage tells why an item could not be reserved. Known is false when the SKU
// has never been stocked.
type Shortage struct {
	SKU                  string
	Requested, Available int64
	Known                bool
}

// Allocate checks items against the pieces available by SKU and returns what is
// missing, sorted by SKU; an empty result means all can be reserved. An order
// gets everything or nothing. Lines of the same SKU are added up. What no order can hold,
// less than a piece or more than 2147483647 of them, is missing whatever there is.
func Allocate(available map[string]int64, items []Item) []Shortage {
	var out []Shortage
	for _, it := range Merge(items) {
		have, known := available[it.SKU]
		if !known || have < it.Quantity || it.Quantity < 1 || it.Quantity > maxHeld {
			out = append(out, Shortage{SKU: it.SKU, Requested: it.Quantity, Available: have, Known: known})
		}
	}
	return out
}

// Merge adds up lines of the same SKU and sorts by SKU: the order in which stock
// rows are locked, so that two orders never wait for each other. A line of less than a
// piece is not made good by another: it stands for its SKU.
func Merge(items []Item) []Item {
	bySKU := map[string]int64{}
	for _, it := range items {
		n, twice := bySKU[it.SKU]
		if least := min(n, it.Quantity); twice && least < 1 {
			bySKU[it.SKU] = least
		} else {
			bySKU[it.SKU] = n + it.Quantity
		}
	}
	out := make([]Item, 0, len(bySKU))
	for sku, n := range bySKU {
		out = append(out, Item{SKU: sku, Quantity: n})
	}
	slices.SortFunc(out, func(a, b Item) int { return cmp.Compare(a.SKU, b.SKU) })
	return out
}
