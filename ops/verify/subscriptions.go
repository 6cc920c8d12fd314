package verify

import (
	"slices"
	"strings"

	"eventshop.example/pkg/events"
)

// subscriptions returns the event types that each consumer group handles; a group ignores all
// others that it reads. It repeats the services' subscription tables, so that a mistake in them
// does not become right here. A test compares the two.
func subscriptions() map[string][]string {
	everything := []string{}
	for _, t := range events.Catalogue().Types() {
		if t.Topic != events.TopicOrderNotifications && t.Topic != events.TopicOrderSnapshots {
			everything = append(everything, t.Name)
		}
	}
	return map[string][]string{
		"order": {
			"PaymentFailed", "PaymentRefunded", "PaymentVoided", "PaymentRefundFailed", "InventoryReservationFailed",
			"ShipmentScheduled", "ShipmentFailed", "ShipmentDispatched", "ShipmentDelivered", "ShipmentCancellationRejected",
		},
		"payment":   {"OrderCreated", "InventoryReservationFailed", "ShipmentFailed", "ShipmentCancelled"},
		"inventory": {"OrderCreated", "PaymentCompleted", "PaymentFailed", "PaymentVoided", "ShipmentFailed", "ShipmentCancelled", "ShipmentDispatched"},
		"shipping":  {"OrderCreated", "InventoryReserved", "OrderCancellationRequested", "InventoryReservationFailed", "PaymentFailed"},
		mailer:      {"OrderPlaced", "OrderCreated"},
		projector:   everything,
	}
}

// projector is the group that maintains the read models, and mailer the group that mails customers.
// The saga does not wait for them.
const (
	projector = "projection"
	mailer    = "notification"
)

// inSaga reports whether the saga waits for a group.
func inSaga(group string) bool { return group != projector && group != mailer }

// reader is a consumer group and what it reads.
type reader struct {
	group  string
	types  map[string]bool
	topics map[string]bool
}

// readers lists the groups by name.
func readers() []reader {
	var out []reader
	for group, types := range subscriptions() {
		r := reader{group, map[string]bool{}, map[string]bool{}}
		for _, name := range types {
			t, _ := events.Catalogue().Lookup(name)
			r.types[name], r.topics[t.Topic] = true, true
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b reader) int { return strings.Compare(a.group, b.group) })
	return out
}

// Readers returns the names of the groups that read a topic, sorted.
func Readers(topic string) []string {
	return those(func(r reader) bool { return r.topics[topic] })
}

// Subscribers returns the names of the groups that handle an event type, sorted.
func Subscribers(typ string) []string {
	return those(func(r reader) bool { return r.types[typ] })
}

// groups returns the names of the consumer groups, sorted.
func groups() []string { return those(func(reader) bool { return true }) }

func those(which func(reader) bool) []string {
	var out []string
	for _, r := range readers() {
		if which(r) {
			out = append(out, r.group)
		}
	}
	return out
}
