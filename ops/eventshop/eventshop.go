// Package eventshop describes a running shop to programs outside it: its services, its topics, and
// the addresses of its processes. It does not depend on how the shop is run: as programs on one
// machine, in containers, or on a cluster.
package eventshop

import (
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafka"
)

// The simulated external systems, beside the services.
const (
	Gateway = "gateway"
	Carrier = "carrier"
	Mailbox = "mailbox"
)

// Outside returns the simulated external systems.
func Outside() []string { return []string{Gateway, Carrier, Mailbox} }

// Services returns the services in the order in which an order passes through them.
func Services() []string {
	return []string{"order", "payment", "inventory", "shipping", "orchestrator", "notification", "projection"}
}

// Publishers returns the services that publish events. The outboxes of the others carry only retries
// and dead letters.
func Publishers() []string {
	return []string{"order", "payment", "inventory", "shipping", "orchestrator"}
}

// Topics returns every topic of the shop: the catalogue's, and the retry topic and the dead-letter
// topic of each group for each topic that it reads. A group that does not read a topic has neither:
// an empty topic costs the broker as many open logs as any other.
func Topics() []event.Topic {
	topics := events.Topics()
	for _, t := range events.Topics() {
		for _, group := range readers(t.Name) {
			topics = append(topics, event.RetryTopic(t.Name, group), event.DeadLetterTopic(t.Name, group))
		}
	}
	return topics
}

// readers returns the consumer groups that read a topic. A test compares it with what the groups
// subscribe to.
func readers(topic string) []string {
	switch topic {
	case events.TopicOrderEvents:
		return []string{"payment", "inventory", "shipping", "orchestrator", "notification", "projection"}
	case events.TopicPaymentEvents:
		return []string{"order", "inventory", "shipping", "orchestrator", "projection"}
	case events.TopicInventoryEvents:
		return []string{"order", "payment", "shipping", "orchestrator", "projection"}
	case events.TopicShippingEvents:
		return []string{"order", "payment", "inventory", "orchestrator", "projection"}
	case events.TopicOrderNotifications:
		return []string{"notification"}
	}
	if receiver, commands := events.IsCommands(topic); commands {
		return []string{receiver}
	}
	return nil // order.snapshots is for readers outside the shop
}

// Addresses holds the addresses of a shop.
type Addresses struct {
	URL       map[string]string // of every process that speaks HTTP, by process
	Operators map[string]string // of each service process's listener for operators, by process
	DSN       map[string]string // URL of each service's database, by service
	Kafka     kafka.Cluster
	// Registry returns the registry that a service uses. It returns an error if the service's
	// processes use different registries.
	Registry func(service string) (Registry, error)
}
