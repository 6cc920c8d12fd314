package events

import (
	"strings"
	"time"

	"eventshop.example/pkg/event"
)

// Names of the topics. The key of every record is the order id.
const (
	TopicOrderEvents        = "order.events"
	TopicPaymentEvents      = "payment.events"
	TopicInventoryEvents    = "inventory.events"
	TopicShippingEvents     = "shipping.events"
	TopicOrderNotifications = "order.notifications"
	TopicOrderSnapshots     = "order.snapshots"
	TopicOrderCommands      = "order.commands"
	TopicPaymentCommands    = "payment.commands"
	TopicInventoryCommands  = "inventory.commands"
	TopicShippingCommands   = "shipping.commands"

	// A command that undoes a step has a topic of its own, so that it does not wait behind the step's
	// command while that cannot be carried out: docs/adr/0013-*.
	TopicOrderCompensations     = "order.compensations"
	TopicPaymentCompensations   = "payment.compensations"
	TopicInventoryCompensations = "inventory.compensations"
	TopicShippingCompensations  = "shipping.compensations"
)

// notificationRetention: a reader that missed a notification for a week asks the order service
// instead.
const notificationRetention = 7 * 24 * time.Hour

// commandRetention is far beyond the longest time limit of a saga. A participant that was away for
// longer finds its commands gone, and an operator has them sent again.
const commandRetention = 30 * 24 * time.Hour

// IsCommands reports whether a topic carries commands, and returns the service that they are for.
func IsCommands(topic string) (receiver string, ok bool) {
	for _, kind := range []string{".commands", ".compensations"} {
		if receiver, ok = strings.CutSuffix(topic, kind); ok {
			return receiver, true
		}
	}
	return "", false
}

// Topics returns the topics that the producers write to, without the retry and dead-letter topics,
// which belong to consumer groups.
//
// The *.events topics keep everything, so that a projection can be rebuilt from offset 0. They are
// never compacted: every event counts, not only the last.
func Topics() []event.Topic {
	forever := map[string]string{
		"cleanup.policy":  "delete",
		"retention.ms":    "-1",
		"retention.bytes": "-1",
	}
	return []event.Topic{
		event.NewTopic(TopicOrderEvents, forever),
		event.NewTopic(TopicPaymentEvents, forever),
		event.NewTopic(TopicInventoryEvents, forever),
		event.NewTopic(TopicShippingEvents, forever),
		event.NewTopic(TopicOrderNotifications, event.Expiring(notificationRetention)),
		event.NewTopic(TopicOrderSnapshots, map[string]string{"cleanup.policy": "compact"}),
		event.NewTopic(TopicOrderCommands, event.Expiring(commandRetention)),
		event.NewTopic(TopicPaymentCommands, event.Expiring(commandRetention)),
		event.NewTopic(TopicInventoryCommands, event.Expiring(commandRetention)),
		event.NewTopic(TopicShippingCommands, event.Expiring(commandRetention)),
		event.NewTopic(TopicOrderCompensations, event.Expiring(commandRetention)),
		event.NewTopic(TopicPaymentCompensations, event.Expiring(commandRetention)),
		event.NewTopic(TopicInventoryCompensations, event.Expiring(commandRetention)),
		event.NewTopic(TopicShippingCompensations, event.Expiring(commandRetention)),
	}
}
