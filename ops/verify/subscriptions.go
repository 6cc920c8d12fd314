package verify

import (
	"cmp"
	"slices"
	"strings"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// handles has the event types that a group handles, each with the style of the sagas whose events
// the group handles; "" is both styles.
type handles map[string]event.Style

// subscriptions returns what each consumer group handles; a group ignores everything else that it
// reads. It repeats the services' subscription tables, so that a mistake in them does not become
// right here. A test compares the two.
//
// For an orchestrated order the participants act on commands. What starts a step of the choreography
// they handle for choreographed orders only. What happens outside (the parcel leaves and arrives, a
// cancellation comes too late, money cannot be returned) means the same in both styles.
func subscriptions() map[string]handles {
	everything := handles{}
	for _, t := range events.Catalogue().Types() {
		if strings.HasSuffix(t.Topic, ".events") {
			everything[t.Name] = ""
		}
	}
	return map[string]handles{
		"order": to(event.Choreographed, "PaymentFailed", "PaymentRefunded", "PaymentVoided", "InventoryReservationFailed", "ShipmentScheduled", "ShipmentFailed").
			and("", "PaymentRefundFailed", "ShipmentDispatched", "ShipmentDelivered", "ShipmentCancellationRejected").
			and(event.Orchestrated, "ConfirmOrder", "CancelOrder"),
		"payment": to(event.Choreographed, "OrderCreated", "InventoryReservationFailed", "ShipmentFailed", "ShipmentCancelled").
			and(event.Orchestrated, "ChargePayment", "RefundPayment"),
		"inventory": to(event.Choreographed, "OrderCreated", "PaymentCompleted", "PaymentFailed", "PaymentVoided", "ShipmentFailed", "ShipmentCancelled").
			and("", "ShipmentDispatched").
			and(event.Orchestrated, "ReserveInventory", "ReleaseInventory"),
		"shipping": to(event.Choreographed, "OrderCreated", "InventoryReserved", "OrderCancellationRequested", "InventoryReservationFailed", "PaymentFailed").
			and(event.Orchestrated, "ScheduleShipment", "CancelShipment"),
		coordinator: to(event.Orchestrated,
			"OrderCreated", "OrderCancellationRequested", "OrderConfirmed", "OrderCancelled", "OrderCommandAnswered",
			"PaymentCompleted", "PaymentFailed", "PaymentRefunded", "PaymentVoided", "PaymentRefundFailed", "PaymentCommandAnswered",
			"InventoryReserved", "InventoryReservationFailed", "InventoryReleased", "InventoryCommandAnswered",
			"ShipmentScheduled", "ShipmentFailed", "ShipmentDispatched", "ShipmentDelivered", "ShipmentCancelled",
			"ShipmentCancellationRejected", "ShipmentCommandAnswered"),
		mailer:    to("", "OrderPlaced", "OrderCreated"),
		projector: everything,
	}
}

func to(style event.Style, types ...string) handles { return handles{}.and(style, types...) }

func (s handles) and(style event.Style, types ...string) handles {
	for _, t := range types {
		s[t] = style
	}
	return s
}

// projector is the group that maintains the read models, and mailer the group that mails customers.
// The saga does not wait for them. coordinator is the group that sends the commands of orchestrated
// sagas.
const (
	projector   = "projection"
	mailer      = "notification"
	coordinator = "orchestrator"
)

// inSaga reports whether the saga waits for a group.
func inSaga(group string) bool { return group != projector && group != mailer }

// reader is a consumer group and what it reads.
type reader struct {
	group  string
	types  handles
	topics map[string]bool
}

// readers lists the groups by name.
func readers() []reader {
	var out []reader
	for group, types := range subscriptions() {
		r := reader{group, types, map[string]bool{}}
		for name := range types {
			t, _ := events.Catalogue().Lookup(name)
			r.topics[t.Topic] = true
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b reader) int { return strings.Compare(a.group, b.group) })
	return out
}

// takes reports whether the group handles events of a type whose saga has a style. Events without a
// style are choreographed.
func (r reader) takes(typ string, style event.Style) bool {
	of, ok := r.types[typ]
	return ok && (of == "" || of == cmp.Or(style, event.Choreographed))
}

// Readers returns the names of the groups that read a topic, sorted.
func Readers(topic string) []string {
	return those(func(r reader) bool { return r.topics[topic] })
}

// Subscribers returns the names of the groups that handle an event type in any style, sorted.
func Subscribers(typ string) []string {
	return those(func(r reader) bool { _, ok := r.types[typ]; return ok })
}

// SubscribersOf returns the names of the groups that handle an event type of a saga of a style, sorted.
func SubscribersOf(typ string, style event.Style) []string {
	return those(func(r reader) bool { return r.takes(typ, style) })
}

// Acting returns the groups of the saga that handle an event type of a style, sorted: those of
// [SubscribersOf] but the read models and the mails.
func Acting(typ string, style event.Style) []string {
	return those(func(r reader) bool { return r.takes(typ, style) && inSaga(r.group) })
}

// groups returns the names of the consumer groups, sorted.
func groups() []string { return those(func(reader) bool { return true }) }

// installed returns the groups that have an entry, sorted. A shop of the release before has no
// orchestrator, and only that group may be missing.
func installed[V any](of map[string]V) []string {
	return those(func(r reader) bool { _, ok := of[r.group]; return ok || r.group != coordinator })
}

func those(which func(reader) bool) []string {
	var out []string
	for _, r := range readers() {
		if which(r) {
			out = append(out, r.group)
		}
	}
	return out
}
