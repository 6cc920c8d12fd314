package order

import (
	"encoding/json"
	"time"

	"eventshop.example/pkg/errs"
)

// Reasons of a cancellation: the vocabulary of OrderCancelled.
const (
	ReasonCustomer       = "customer"        // requested by the customer
	ReasonDeadline       = "deadline"        // not confirmed in time
	ReasonPaymentFailed  = "payment_failed"  // the card was declined
	ReasonOutOfStock     = "out_of_stock"    // inventory could not reserve
	ReasonShipmentFailed = "shipment_failed" // the carrier does not take the parcel
	ReasonMoneyReturned  = "money_returned"  // refunded or voided, and the participant gave no reason of this list

	ReasonAbandoned = "abandoned" // of a draft: it was not changed for long
)

// Customer is the customer's data at the time of the order.
type Customer struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Address is the destination of the parcel. Country is optional.
type Address struct {
	Street     string `json:"street"`
	City       string `json:"city"`
	PostalCode string `json:"postalCode"`
	Country    string `json:"country,omitempty"`
}

// Item is one line of an order. UnitPrice is in minor units of the order's currency.
type Item struct {
	SKU       string `json:"sku"`
	Quantity  int32  `json:"quantity"`
	UnitPrice int64  `json:"unitPrice"`
}

// Channel is where the customer placed an order.
type Channel string

// The channels. Unspecified is that of clients that do not name one, and of orders from before there
// were channels.
const (
	Unspecified Channel = "unspecified"
	Web         Channel = "web"
	MobileApp   Channel = "app"
	Phone       Channel = "phone"
	Store       Channel = "store"
	Partner     Channel = "partner"
)

// Style is how an order's saga is coordinated. It is fixed when the order is placed, and decides which
// messages the order acts on.
type Style string

// The styles. Orders from before there were styles are choreographed.
const (
	Choreographed Style = "choreographed" // the services react to each other's events
	Orchestrated  Style = "orchestrated"  // the orchestrator reacts to the events and sends commands
)

// Cause is why a step was requested or failed.
type Cause struct {
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
}

// Order is the state folded from the domain events of a stream. The zero value is an order that
// does not exist. The snapshot stores its JSON form.
type Order struct {
	ID          string    `json:"id"`
	Version     int64     `json:"version"` // of the last event applied; 0: none
	State       State     `json:"status"`
	Customer    Customer  `json:"customer"`
	Address     Address   `json:"address"`
	Items       []Item    `json:"items"`
	TotalAmount int64     `json:"totalAmount"` // minor units
	Currency    string    `json:"currency"`    // ISO 4217
	Channel     Channel   `json:"channel"`
	Style       Style     `json:"saga,omitempty"` // "": of a draft, which has no saga yet
	PlacedAt    time.Time `json:"placedAt"`       // of a draft: when it was started
	ConfirmBy   time.Time `json:"confirmBy"`      // the saga's deadline

	TrackingID   string `json:"trackingId,omitempty"`
	Failure      *Cause `json:"failure,omitempty"`      // a step failed, and the saga is being compensated
	Cancellation *Cause `json:"cancellation,omitempty"` // the request: its reason and text
	Rejected     bool   `json:"rejected,omitempty"`     // the cancellation request came too late
	Cancelled    *Cause `json:"cancelled,omitempty"`    // why the order was cancelled, or the draft discarded
	Attention    *Cause `json:"attention,omitempty"`    // a person has to look
}

// Fold applies events in order. The first of them has version o.Version+1.
func (o Order) Fold(events ...Event) Order {
	for _, e := range events {
		o = o.Apply(e)
	}
	return o
}

// Apply returns the order after one more event. It never fails, because stored events have
// happened.
func (o Order) Apply(e Event) Order {
	o.Version++
	switch e := e.(type) {
	case OrderCreated:
		o.ID, o.State, o.Items = e.OrderID, Pending, nil // a draft's items follow once more
		o.Customer, o.Address = e.Customer, e.ShippingAddress
		o.TotalAmount, o.Currency, o.Channel, o.Style = e.TotalAmount, e.Currency, e.Channel, e.Style
		o.PlacedAt, o.ConfirmBy = e.PlacedAt, e.ConfirmBy
	case ItemAdded:
		// A copy, because orders are values and two folds may share the same prefix.
		o.Items = append(o.Items[:len(o.Items):len(o.Items)], Item(e))
	case OrderConfirmed:
		o.State, o.TrackingID = Confirmed, e.TrackingID
	case OrderFulfilmentFailed:
		o.Failure = &Cause{e.Reason, e.Detail}
	case OrderCancellationRequested:
		o.State, o.Cancellation = Cancelling, &Cause{e.Reason(), e.Detail}
	case OrderCancellationRejected:
		o.Rejected = true
	case OrderCancelled:
		// No money is held any more, so a failed refund no longer needs attention.
		o.State, o.Cancelled, o.Attention = Cancelled, &Cause{e.Reason, e.Detail}, nil
	case OrderShipped:
		o.State = Shipped
		if e.TrackingID != "" {
			o.TrackingID = e.TrackingID
		}
	case OrderDelivered:
		o.State = Delivered
	case OrderNeedsAttention:
		o.Attention = &Cause{e.Reason, e.Detail}
	case DraftStarted, DraftItemAdded, DraftItemChanged, DraftItemRemoved, DraftAddressChanged, DraftDiscarded, DraftPlaced:
		return o.applyDraft(e)
	}
	return o
}

// SnapshotFormat changes whenever the JSON form of [Order] or the meaning of [Order.Apply] changes.
// Snapshots of another format are not used, and the stream is folded from its beginning. So a snapshot
// only saves time. Format 1 is that of a table that is no longer read. Format 2 has no style, so a program
// that knows no other format never reads the snapshot of an orchestrated order.
const SnapshotFormat = 3

// Snapshot returns the order as JSON.
func (o Order) Snapshot() (json.RawMessage, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "encode snapshot of order "+o.ID)
	}
	return b, nil
}

// FormerSnapshot returns the order as processes of the release before read it from a snapshot: format 1.
// They take every order for a choreographed one, so there is none of an orchestrated order.
func (o Order) FormerSnapshot() (json.RawMessage, error) {
	b, err := json.Marshal(struct {
		Format int   `json:"format"`
		Order  Order `json:"order"`
	}{1, o})
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "encode snapshot of order "+o.ID)
	}
	return b, nil
}

// FromSnapshot reads what [Order.Snapshot] wrote about an order at a version.
func FromSnapshot(id string, version int64, b json.RawMessage) (Order, error) {
	var o Order
	if err := json.Unmarshal(b, &o); err != nil {
		return Order{}, errs.Wrap(errs.Internal, err, "read snapshot of order "+id)
	}
	if o.ID != id || o.Version != version {
		return Order{}, errs.New(errs.Internal, "snapshot of order %s at version %d is of order %s at version %d", id, version, o.ID, o.Version)
	}
	if o.State.Placed() && o.Style != Choreographed && o.Style != Orchestrated {
		return Order{}, errs.New(errs.Internal, "snapshot of order %s at version %d has the style %q", id, version, o.Style)
	}
	return o, nil
}
