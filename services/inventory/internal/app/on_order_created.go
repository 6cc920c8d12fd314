package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/inventory"
)

// OnOrderCreated carries the items. They are reserved once the payment is completed, which may
// already be the case.
func OnOrderCreated(e consumer.Event[events.OrderCreated]) Input {
	items := make([]inventory.Item, len(e.Data.Items))
	for i, it := range e.Data.Items {
		items[i] = inventory.Item{SKU: it.SKU, Quantity: int64(it.Quantity)}
	}
	return Input{Kind: inventory.OrderCreated, Items: items}
}
