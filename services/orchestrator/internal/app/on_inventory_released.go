package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnInventoryReleased undoes the step reserve: the pieces are available again.
func OnInventoryReleased(e consumer.Event[events.InventoryReleased]) Input {
	return Input{Kind: orchestrator.InventoryReleased, Detail: e.Data.Reason}
}
