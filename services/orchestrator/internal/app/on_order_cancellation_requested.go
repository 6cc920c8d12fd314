package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/orchestrator/orchestrator"
)

// OnOrderCancellationRequested turns the saga back, for the customer or the deadline. After the pivot, shipping rejects it.
func OnOrderCancellationRequested(e consumer.Event[events.OrderCancellationRequested]) Input {
	return Input{Kind: orchestrator.OrderCancellationRequested, Reason: e.Data.Reason, Detail: e.Data.Detail}
}
