package order

import (
	"encoding/json"
	"time"

	"eventshop.example/pkg/errs"
)

// Event is a domain event: a fact of one order's life, in the past tense, as it is
// kept in the order's own store. Domain events are private to this service and are
// not the integration events other services read; app translates.
//
// A struct, once stored, is read for ever: fields are added with a meaning for
// their absence, never renamed or removed.
type Event interface {
	// Name is the type's name in the store.
	Name() string
}

type (
	// Created begins every stream. Its items follow, one ItemAdded each. Amounts
	// are in minor units of Currency (ISO 4217).
	Created struct {
		OrderID         string    `json:"orderId"`
		Customer        Customer  `json:"customer"`
		ShippingAddress Address   `json:"shippingAddress"`
		TotalAmount     int64     `json:"totalAmount"`
		Currency        string    `json:"currency"`
		PlacedAt        time.Time `json:"placedAt"`
		ConfirmBy       time.Time `json:"confirmBy"`
	}
	// ItemAdded is one line of the order.
	ItemAdded Item
	// WasConfirmed: paid, reserved and scheduled.
	WasConfirmed struct {
		TrackingID string `json:"trackingId"`
	}
	// FulfilmentFailed: a step after payment failed; the money is on its way back.
	FulfilmentFailed Cause
	// CancellationRequested: by the customer or because the deadline passed.
	CancellationRequested Cause
	// CancellationRejected: the request came after the parcel had left.
	CancellationRejected struct {
		Reason string `json:"reason"`
	}
	// WasCancelled ends an order whose money is not held.
	WasCancelled Cause
	// WasShipped: the parcel has left.
	WasShipped struct {
		TrackingID string `json:"trackingId,omitempty"`
	}
	// WasDelivered ends an order that arrived.
	WasDelivered struct {
		DeliveredAt time.Time `json:"deliveredAt"`
	}
	// NeedsAttention: the facts contradict each other or a refund does not go
	// through; no rule mends it.
	NeedsAttention Cause
)

func (Created) Name() string               { return "OrderCreated" }
func (ItemAdded) Name() string             { return "ItemAdded" }
func (WasConfirmed) Name() string          { return "OrderConfirmed" }
func (FulfilmentFailed) Name() string      { return "OrderFulfilmentFailed" }
func (CancellationRequested) Name() string { return "OrderCancellationRequested" }
func (CancellationRejected) Name() string  { return "OrderCancellationRejected" }
func (WasCancelled) Name() string          { return "OrderCancelled" }
func (WasShipped) Name() string            { return "OrderShipped" }
func (WasDelivered) Name() string          { return "OrderDelivered" }
func (NeedsAttention) Name() string        { return "OrderNeedsAttention" }

// Encode gives the stored form of an event.
func Encode(e Event) (json.RawMessage, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "encode "+e.Name())
	}
	return b, nil
}

// Decode reads the stored form. A name or form this version does not know is of
// kind Internal: the store is ahead of the program, or damaged.
func Decode(name string, data json.RawMessage) (Event, error) {
	switch name {
	case "OrderCreated":
		return decode[Created](name, data)
	case "ItemAdded":
		return decode[ItemAdded](name, data)
	case "OrderConfirmed":
		return decode[WasConfirmed](name, data)
	case "OrderFulfilmentFailed":
		return decode[FulfilmentFailed](name, data)
	case "OrderCancellationRequested":
		return decode[CancellationRequested](name, data)
	case "OrderCancellationRejected":
		return decode[CancellationRejected](name, data)
	case "OrderCancelled":
		return decode[WasCancelled](name, data)
	case "OrderShipped":
		return decode[WasShipped](name, data)
	case "OrderDelivered":
		return decode[WasDelivered](name, data)
	case "OrderNeedsAttention":
		return decode[NeedsAttention](name, data)
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
