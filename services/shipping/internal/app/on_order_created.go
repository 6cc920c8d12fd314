package app

import (
	"cmp"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/shipping"
)

// OnOrderCreated carries the items and the address. The parcel is scheduled now if the goods are
// already reserved. Different topics have no common order, so the reservation may have arrived
// first.
func OnOrderCreated(e consumer.Event[events.OrderCreated]) Input {
	p := &Parcel{
		CustomerID: e.Data.Customer.ID,
		Address: carrier.Address{
			Street: e.Data.ShippingAddress.Street, City: e.Data.ShippingAddress.City,
			PostalCode: e.Data.ShippingAddress.PostalCode, Country: e.Data.ShippingAddress.Country,
		},
		Items: make([]carrier.Item, len(e.Data.Items)),
	}
	for i, it := range e.Data.Items {
		p.Items[i] = carrier.Item{SKU: it.SKU, Quantity: int64(it.Quantity)}
	}
	said := cmp.Or(event.Style(e.Data.SagaStyle), event.Choreographed) // an event of an earlier release has none
	return Input{Kind: shipping.OrderCreated, Style: said, Parcel: p}
}
