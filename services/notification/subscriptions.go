package notification

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/services/notification/internal/app"
)

// subscriptions lists every event that the notification service reacts to. Both events say that an
// order was placed. It subscribes to both in both styles and leaves out the one of the other style,
// so that the style can change while orders are between the two. The service emits nothing: its
// outbox carries only retries and dead letters.
func subscriptions(a *app.App) []consumer.Subscription {
	return []consumer.Subscription{
		consumer.OnCall(a.Mails, a.AskOnOrderPlaced, a.OnOrderPlaced),
		consumer.On(a.Mails, a.OnOrderCreated),
	}
}
