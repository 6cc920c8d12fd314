package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnOrderCreated begins the saga. It carries everything that the commands need.
func OnOrderCreated(e consumer.Event[events.OrderCreated]) Input {
	o := &Order{
		Style:       event.Style(e.Data.SagaStyle),
		CustomerID:  e.Data.Customer.ID,
		Address:     Address(e.Data.ShippingAddress),
		Items:       make([]Item, len(e.Data.Items)),
		TotalAmount: e.Data.TotalAmount, Currency: e.Data.Currency,
	}
	for i, it := range e.Data.Items {
		o.Items[i] = Item{SKU: it.SKU, Quantity: it.Quantity}
	}
	return Input{Kind: orchestrator.OrderCreated, Order: o}
}
