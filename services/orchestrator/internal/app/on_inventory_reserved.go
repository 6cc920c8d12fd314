package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnInventoryReserved ends the step reserve: the pieces are set aside.
func OnInventoryReserved(consumer.Event[events.InventoryReserved]) Input {
	return Input{Kind: orchestrator.InventoryReserved}
}
