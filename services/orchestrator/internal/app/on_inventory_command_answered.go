package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnInventoryCommandAnswered takes the answer of the inventory service to a command that emitted no event.
func OnInventoryCommandAnswered(e consumer.Event[events.InventoryCommandAnswered]) Input {
	return answerOf(answer{e.Data.Command, e.Data.Outcome, e.Data.State}, orchestrator.ReserveInventory, orchestrator.ReleaseInventory)
}
