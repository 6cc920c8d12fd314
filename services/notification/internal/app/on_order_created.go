package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/notification/notification"
)

// OnOrderCreated carries the whole order (event-carried state transfer), so no other service is
// asked.
func (a *App) OnOrderCreated(e consumer.Event[events.OrderCreated]) Input {
	o := notification.Order{
		ID: e.Data.OrderID, CustomerID: e.Data.Customer.ID, Name: e.Data.Customer.Name, Email: e.Data.Customer.Email,
		Total: httpapi.FormatAmount(e.Data.TotalAmount, e.Data.Currency).String(), Currency: e.Data.Currency,
	}
	for _, item := range e.Data.Items {
		o.Items = append(o.Items, notification.Item{
			SKU: item.SKU, Quantity: int64(item.Quantity), UnitPrice: httpapi.FormatAmount(item.UnitPrice, e.Data.Currency).String(),
		})
	}
	return Input{
		Kind: a.style.Created(e.Data.OccurredAt, *a.since.Load()), Order: o,
		Style: notification.ByState, PlacedAt: e.Data.OccurredAt,
	}
}
