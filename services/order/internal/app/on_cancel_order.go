package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/order/order"
)

// OnCancelOrder ends an orchestrated order for which everything is undone and no money is held.
func OnCancelOrder(e consumer.Event[events.CancelOrder]) Input {
	return Input{Message: order.Message{
		Input:  order.CancelOrder,
		Reason: e.Data.Reason,
		Detail: e.Data.Detail,
	}}
}
