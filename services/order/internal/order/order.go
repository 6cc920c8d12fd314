// Package order is the event-sourced aggregate: what an order is, which domain
// events its life consists of, and what it decides when asked or told something.
//
// It guarantees that an Order is a function of its domain events alone (Fold),
// that every pair of status and input has a decision (see transitions.go), and
// that CANCELLED and DELIVERED are never left. It does no I/O, reads no clock and
// knows neither Kafka nor HTTP; times come in with the commands. It fails only by
// returning errors of package errs: Invalid for a command that cannot be, Internal
// for a stored event it cannot read.
//
// The split into decide and apply is that of the functional event sourcing
// literature (Jérémie Chassaing's "decider"): Decide turns an input into new
// events and changes nothing, Apply changes state and refuses nothing.
package order

import (
	"encoding/json"
	"time"

	"eventshop.example/pkg/errs"
)

// Status is where an order stands. The values are part of the HTTP contract.
type Status string

const (
	None       Status = ""           // no such order
	Pending    Status = "PENDING"    // accepted; payment, stock and carrier are being asked
	Confirmed  Status = "CONFIRMED"  // paid, reserved and scheduled with the carrier
	Shipped    Status = "SHIPPED"    // the parcel has left: the pivot, no way back
	Delivered  Status = "DELIVERED"  // terminal
	Cancelling Status = "CANCELLING" // cancellation requested, shipping decides
	Cancelled  Status = "CANCELLED"  // terminal; no money is held
)

// Terminal tells whether the saga has ended.
func (s Status) Terminal() bool { return s == Delivered || s == Cancelled }

// Reasons for which an order is cancelled: the vocabulary of OrderCancelled.
const (
	ReasonCustomer       = "customer"        // asked for by the customer
	ReasonDeadline       = "deadline"        // not confirmed in time
	ReasonPaymentFailed  = "payment_failed"  // the card was declined
	ReasonOutOfStock     = "out_of_stock"    // inventory could not reserve
	ReasonShipmentFailed = "shipment_failed" // the carrier does not take it
	ReasonMoneyReturned  = "money_returned"  // refunded or voided, the participant gave no reason of this list
)

// Customer is who ordered, as known when ordering.
type Customer struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Address is where the parcel goes. Country is optional.
type Address struct {
	Street     string `json:"street"`
	City       string `json:"city"`
	PostalCode string `json:"postalCode"`
	Country    string `json:"country,omitempty"`
}

// Item is one line. UnitPrice is in minor units of the order's currency.
type Item struct {
	SKU       string `json:"sku"`
	Quantity  int32  `json:"quantity"`
	UnitPrice int64  `json:"unitPrice"`
}

// Cause says why something was asked for or went wrong.
type Cause struct {
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
}

// Order is the state folded from a stream's domain events. The zero value is an
// order that does not exist. Its JSON form is the snapshot's.
type Order struct {
	ID          string    `json:"id"`
	Version     int64     `json:"version"` // of the last event folded in; 0: none
	Status      Status    `json:"status"`
	Customer    Customer  `json:"customer"`
	Address     Address   `json:"address"`
	Items       []Item    `json:"items"`
	TotalAmount int64     `json:"totalAmount"` // minor units
	Currency    string    `json:"currency"`    // ISO 4217
	PlacedAt    time.Time `json:"placedAt"`
	ConfirmBy   time.Time `json:"confirmBy"` // the saga's deadline

	TrackingID   string `json:"trackingId,omitempty"`
	Failure      *Cause `json:"failure,omitempty"`      // a step failed; the saga is being undone
	Cancellation *Cause `json:"cancellation,omitempty"` // requested, by whom and why
	Rejected     bool   `json:"rejected,omitempty"`     // the request came too late
	Cancelled    *Cause `json:"cancelled,omitempty"`    // how it ended, when it ended so
	Attention    *Cause `json:"attention,omitempty"`    // a person has to look
}

// Fold applies events, the first of which has version o.Version+1.
func (o Order) Fold(events ...Event) Order {
	for _, e := range events {
		o = o.Apply(e)
	}
	return o
}

// Apply is the state after one more event. It never fails: what is in the store
// has happened.
func (o Order) Apply(e Event) Order {
	o.Version++
	switch e := e.(type) {
	case Created:
		o.ID, o.Status = e.OrderID, Pending
		o.Customer, o.Address = e.Customer, e.ShippingAddress
		o.TotalAmount, o.Currency = e.TotalAmount, e.Currency
		o.PlacedAt, o.ConfirmBy = e.PlacedAt, e.ConfirmBy
	case ItemAdded:
		// A copy: orders are values, and two folds may share the same beginning.
		o.Items = append(o.Items[:len(o.Items):len(o.Items)], Item(e))
	case WasConfirmed:
		o.Status, o.TrackingID = Confirmed, e.TrackingID
	case FulfilmentFailed:
		o.Failure = &Cause{e.Reason, e.Detail}
	case CancellationRequested:
		o.Status, o.Cancellation = Cancelling, &Cause{e.Reason, e.Detail}
	case CancellationRejected:
		o.Rejected = true
	case WasCancelled:
		// No money is held any more, so a refund that would not go through is mended.
		o.Status, o.Cancelled, o.Attention = Cancelled, &Cause{e.Reason, e.Detail}, nil
	case WasShipped:
		o.Status = Shipped
		if e.TrackingID != "" {
			o.TrackingID = e.TrackingID
		}
	case WasDelivered:
		o.Status = Delivered
	case NeedsAttention:
		o.Attention = &Cause{e.Reason, e.Detail}
	}
	return o
}

// snapshotFormat changes whenever Order's JSON form or Apply changes meaning.
// Snapshots of another format are ignored and the stream is folded from its
// beginning, so a snapshot is only ever a shortcut.
const snapshotFormat = 1

type snapshot struct {
	Format int   `json:"format"`
	Order  Order `json:"order"`
}

// Snapshot is the state as JSON.
func (o Order) Snapshot() (json.RawMessage, error) {
	b, err := json.Marshal(snapshot{snapshotFormat, o})
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "encode snapshot of order "+o.ID)
	}
	return b, nil
}

// FromSnapshot reads what Snapshot wrote. ok is false when the snapshot is of
// another format or unreadable, and the caller folds all events instead.
func FromSnapshot(b json.RawMessage) (o Order, ok bool) {
	var s snapshot
	if err := json.Unmarshal(b, &s); err != nil || s.Format != snapshotFormat {
		return Order{}, false
	}
	return s.Order, true
}
