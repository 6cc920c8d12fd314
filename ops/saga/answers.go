package saga

import "slices"

// Who has to answer beside the services.
const (
	Carrier  = "carrier"
	Operator = "operator"
	// Orchestrator is the service that coordinates orchestrated sagas.
	Orchestrator = "orchestrator"
)

// Answers lists the events with which a service answers one of the saga's events.
type Answers struct {
	To, Service string
	With        []string
}

// Forward returns the saga's steps in order: an order waits for the first open one.
func Forward() []Answers {
	return []Answers{
		{"OrderCreated", "payment", []string{"PaymentCompleted", "PaymentFailed"}},
		{"PaymentCompleted", "inventory", []string{"InventoryReserved", "InventoryReservationFailed"}},
		{"InventoryReserved", "shipping", []string{"ShipmentScheduled", "ShipmentFailed"}},
		{"ShipmentScheduled", "order", []string{"OrderConfirmed"}},
		{"OrderConfirmed", Carrier, []string{"ShipmentDispatched"}},
		{"ShipmentDispatched", "order", []string{"OrderShipped"}},
		{"OrderShipped", Carrier, []string{"ShipmentDelivered"}},
		{"ShipmentDelivered", "order", []string{"OrderDelivered"}},
	}
}

// returned returns the events after which no money is kept.
func returned() []string { return []string{"PaymentRefunded", "PaymentVoided", "PaymentFailed"} }

// backward returns the compensations of an order once the event has happened, the last one first.
func backward(event string) []Answers {
	money := Answers{event, "payment", returned()}
	goods := Answers{event, "inventory", []string{"InventoryReleased"}}
	switch event {
	case "PaymentFailed":
		return nil
	case "InventoryReservationFailed":
		return []Answers{money}
	default:
		return []Answers{money, goods}
	}
}

// Open returns the answers that a choreographed order needs next. has reports whether the order has an event
// of any of the types.
func Open(has func(...string) bool) []Answers {
	if has("OrderDelivered", "OrderCancelled") {
		return nil
	}
	unanswered := func(all []Answers) []Answers {
		return slices.DeleteFunc(all, func(a Answers) bool { return has(a.With...) })
	}
	undoing := func(event string) []Answers {
		left := slices.DeleteFunc(backward(event), func(a Answers) bool {
			return a.Service == "inventory" && !has("InventoryReserved")
		})
		if left = unanswered(left); len(left) > 0 {
			if left[0].Service == "payment" && has("PaymentRefundFailed") {
				left[0] = Answers{"PaymentRefundFailed", Operator, nil}
			}
			return left
		}
		for _, t := range returned() {
			if has(t) {
				return []Answers{{t, "order", []string{"OrderCancelled"}}}
			}
		}
		return nil
	}
	switch {
	case has("OrderCancellationRequested") && !has("ShipmentCancellationRejected"):
		if !has("ShipmentCancelled") {
			return []Answers{{"OrderCancellationRequested", "shipping", nil}}
		}
		return undoing("ShipmentCancelled")
	case has("ShipmentFailed"):
		return undoing("ShipmentFailed")
	case has("InventoryReservationFailed"):
		return undoing("InventoryReservationFailed")
	case has("PaymentFailed"):
		return undoing("PaymentFailed")
	}
	for _, a := range Forward() {
		if !has(a.With...) {
			return []Answers{a}
		}
	}
	return nil
}
