package verify

import (
	"slices"
	"strings"

	"eventshop.example/pkg/events"
)

// subscriptions says which event types each consumer group handles; whatever else it
// reads it ignores. It repeats the services' subscription tables, as what is wrong in
// them must not be right here; a test holds the two together.
func subscriptions() map[string][]string {
	everything := []string{}
	for _, t := range events.Catalogue() {
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
		projector:   everything,
	}
}

// projector is the group that keeps the read models. The saga does not wait for it.
const projector = "projection"

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
			t, _ := events.Lookup(name)
			r.types[name], r.topics[t.Topic] = true, true
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b reader) int { return strings.Compare(a.group, b.group) })
	return out
}

// groups returns the names of the consumer groups, sorted.
func groups() []string {
	var out []string
	for _, r := range readers() {
		out = append(out, r.group)
	}
	return out
}
