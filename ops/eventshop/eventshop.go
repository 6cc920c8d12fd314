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

// Topics returns every topic of the shop: the catalogue's, and for each group the retry topics and
// dead-letter topics of the topics that the group may read: all events, and the commands to itself.
func Topics() []event.Topic {
	topics := events.Topics()
	for _, t := range events.Topics() {
		receiver, commands := events.IsCommands(t.Name)
		for _, group := range Services() {
			if commands && group != receiver {
				continue
			}
			topics = append(topics, event.RetryTopic(t.Name, group), event.DeadLetterTopic(t.Name, group))
		}
	}
	return topics
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
