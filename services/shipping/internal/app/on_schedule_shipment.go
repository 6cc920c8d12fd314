package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/shipping"
)

// OnScheduleShipment carries the items and the address of goods that are reserved, so the parcel is
// scheduled now. Its key at the carrier is the same in both styles of the saga.
func OnScheduleShipment(e consumer.Event[events.ScheduleShipment]) Input {
	p := &Parcel{
		CustomerID: e.Data.CustomerID,
		Address: carrier.Address{
			Street: e.Data.Address.Street, City: e.Data.Address.City,
			PostalCode: e.Data.Address.PostalCode, Country: e.Data.Address.Country,
		},
		Items: make([]carrier.Item, len(e.Data.Items)),
	}
	for i, it := range e.Data.Items {
		p.Items[i] = carrier.Item{SKU: it.SKU, Quantity: int64(it.Quantity)}
	}
	return Input{Kind: shipping.ScheduleShipment, Parcel: p}
}
