package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/inventory/inventory"
)

// OnReserveInventory reserves the items of the command. The orchestrator sends it when the order is
// paid, so there is nothing to wait for.
func OnReserveInventory(e consumer.Event[events.ReserveInventory]) Input {
	items := make([]inventory.Item, len(e.Data.Items))
	for i, it := range e.Data.Items {
		items[i] = inventory.Item{SKU: it.SKU, Quantity: int64(it.Quantity)}
	}
	return Input{Kind: inventory.ReserveInventory, Items: items}
}
