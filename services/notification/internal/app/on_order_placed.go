package app

import (
	"context"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/notification/internal/db"
	"eventshop.example/services/notification/notification"
)

// AskOnOrderPlaced asks the order service for the order before the transaction: the callback of an
// event notification. It asks nothing when the mail is written, or when the style leaves the event
// out. While the order service does not answer, the error is Transient and the partition waits.
func (a *App) AskOnOrderPlaced(row db.Mail, e consumer.Event[events.OrderPlaced]) consumer.Call[notification.Order] {
	in := a.style.Placed(e.Data.OccurredAt, *a.since.Load())
	if notification.Decide(notification.State(row.State), in).Effect != notification.AskOrder {
		return nil
	}
	return func(ctx context.Context) (notification.Order, error) {
		a.metrics.callbacks.Inc()
		return a.orders.Get(ctx, e.Data.OrderID)
	}
}

// OnOrderPlaced carries the order service's answer. The answer is the order as it is at the moment of
// the callback, and not as it was when the event was published.
func (a *App) OnOrderPlaced(e consumer.Event[events.OrderPlaced], shown notification.Order) Input {
	return Input{
		Kind: a.style.Placed(e.Data.OccurredAt, *a.since.Load()), Order: shown,
		Style: notification.ByNotification, PlacedAt: e.Data.OccurredAt,
	}
}
