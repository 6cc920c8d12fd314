package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnShipmentCommandAnswered takes the answer of the shipping service to a command that emitted no event.
func OnShipmentCommandAnswered(e consumer.Event[events.ShipmentCommandAnswered]) Input {
	return answerOf(answer{e.Data.Command, e.Data.Outcome, e.Data.State}, orchestrator.ScheduleShipment, orchestrator.CancelShipment)
}
