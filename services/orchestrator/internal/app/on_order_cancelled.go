package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnOrderCancelled ends a saga that has undone everything.
func OnOrderCancelled(e consumer.Event[events.OrderCancelled]) Input {
	return Input{Kind: orchestrator.OrderCancelled, Detail: e.Data.Reason}
}
