package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnOrderCommandAnswered takes the answer of the order service to a command that emitted no event.
func OnOrderCommandAnswered(e consumer.Event[events.OrderCommandAnswered]) Input {
	return answerOf(answer{e.Data.Command, e.Data.Outcome, e.Data.State}, orchestrator.ConfirmOrder, orchestrator.CancelOrder)
}
