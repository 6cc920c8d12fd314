package order

import (
	"encoding/json"
	"time"

	"eventshop.example/pkg/errs"
)

// Event is a domain event: a fact of one order's life, in the past tense, as the order's own store
// keeps it. Domain events are private to this service. An integration event of package events may
// have the same name. Other services read the integration event, and package app translates.
//
// Every stored form stays readable forever. A form that changes gets a version, and an upcaster from the
// version before (upcast.go).
type Event interface {
	// Name is the type's name, here and in the store.
	Name() string
}

type (
	// OrderCreated places the order. It begins the stream, or follows [DraftPlaced]. One ItemAdded per
	// item follows. Amounts are in minor units of Currency (ISO 4217). Style is fixed for the order's life.
	OrderCreated struct {
		OrderID         string    `json:"orderId"`
		Customer        Customer  `json:"customer"`
		ShippingAddress Address   `json:"shippingAddress"`
		TotalAmount     int64     `json:"totalAmount"`
		Currency        string    `json:"currency"`
		Channel         Channel   `json:"channel"`
		Style           Style     `json:"saga,omitempty"`
		PlacedAt        time.Time `json:"placedAt"`
		ConfirmBy       time.Time `json:"confirmBy"`
	}
	// ItemAdded is one line of the order.
	ItemAdded Item
	// OrderConfirmed: the order is paid, reserved and scheduled.
	OrderConfirmed struct {
		TrackingID string `json:"trackingId"`
	}
	// OrderFulfilmentFailed: a step after payment failed, and compensation returns the money.
	OrderFulfilmentFailed Cause
	// OrderCancellationRequested: the customer requested it, or the deadline passed.
	OrderCancellationRequested struct {
		Actor   Actor   `json:"actor"`   // who
		Trigger Trigger `json:"trigger"` // why
		Detail  string  `json:"detail,omitempty"`
	}
	// OrderCancellationRejected: the request came after the parcel had left.
	OrderCancellationRejected struct {
		Reason string `json:"reason"`
	}
	// OrderCancelled ends an order for which no money is held.
	OrderCancelled Cause
	// OrderShipped: the parcel has left.
	OrderShipped struct {
		TrackingID string `json:"trackingId,omitempty"`
	}
	// OrderDelivered ends an order that has arrived.
	OrderDelivered struct {
		DeliveredAt time.Time `json:"deliveredAt"`
	}
	// OrderNeedsAttention: facts contradict each other, or a refund fails. No rule resolves this.
	OrderNeedsAttention Cause
	// OrderCommandAnswered: a command of the orchestrated saga changed nothing that other services
	// receive, and was answered.
	OrderCommandAnswered struct {
		Command Input  `json:"command"`
		Outcome Answer `json:"outcome"`
	}
)

func (OrderCreated) Name() string               { return "OrderCreated" }
func (ItemAdded) Name() string                  { return "ItemAdded" }
func (OrderConfirmed) Name() string             { return "OrderConfirmed" }
func (OrderFulfilmentFailed) Name() string      { return "OrderFulfilmentFailed" }
func (OrderCancellationRequested) Name() string { return "OrderCancellationRequested" }
func (OrderCancellationRejected) Name() string  { return "OrderCancellationRejected" }
func (OrderCancelled) Name() string             { return "OrderCancelled" }
func (OrderShipped) Name() string               { return "OrderShipped" }
func (OrderDelivered) Name() string             { return "OrderDelivered" }
func (OrderNeedsAttention) Name() string        { return "OrderNeedsAttention" }
func (OrderCommandAnswered) Name() string       { return "OrderCommandAnswered" }

// Encode returns the stored form of an event.
func Encode(e Event) (json.RawMessage, error) {
	b, err := json.Marshal(stored(e))
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "encode "+e.Name())
	}
	return b, nil
}

// Decode reads the stored form of an event, of any version. The error has kind Internal when this
// program does not know the name, the version or the form: the store is newer than the program, or
// damaged.
func Decode(name string, data json.RawMessage) (Event, error) {
	data, err := upcast(name, data)
	if err != nil {
		return nil, err
	}
	switch name {
	case "OrderCreated":
		return decodeCreated(name, data)
	case "ItemAdded":
		return decode[ItemAdded](name, data)
	case "OrderConfirmed":
		return decode[OrderConfirmed](name, data)
	case "OrderFulfilmentFailed":
		return decode[OrderFulfilmentFailed](name, data)
	case "OrderCancellationRequested":
		return decode[OrderCancellationRequested](name, data)
	case "OrderCancellationRejected":
		return decode[OrderCancellationRejected](name, data)
	case "OrderCancelled":
		return decode[OrderCancelled](name, data)
	case "OrderShipped":
		return decode[OrderShipped](name, data)
	case "OrderDelivered":
		return decode[OrderDelivered](name, data)
	case "OrderNeedsAttention":
		return decode[OrderNeedsAttention](name, data)
	case "OrderCommandAnswered":
		return decode[OrderCommandAnswered](name, data)
	}
	if e, ok, err := decodeDraft(name, data); ok {
		return e, err
	}
	return nil, errs.New(errs.Internal, "stored domain event %q is of an unknown type", name)
}

func decode[E Event](name string, data json.RawMessage) (Event, error) {
	var e E
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "decode stored "+name)
	}
	return e, nil
}
