package story

import (
	"regexp"
	"slices"

	"eventshop.example/ops/saga"
	"eventshop.example/pkg/event"
)

// Statuses in which an order has ended.
const (
	delivered = "DELIVERED"
	cancelled = "CANCELLED"
)

// The actions of services that an order waits for.
const (
	ToAnswer   = "answer"
	ToPublish  = "publish"
	ToDispatch = "dispatch the parcel"
	ToDeliver  = "deliver the parcel"
	ToRetry    = "have the refund tried again"
)

// Participants beside the services that an order waits for.
const (
	Carrier  = "carrier"
	Operator = "operator"
)

// answers lists the events with which a service answers one of the saga's events.
type answers struct {
	to, service string
	with        []string
}

// forward returns the saga's steps in order: an order waits for the first open one.
func forward() []answers {
	return []answers{
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
func backward(event string) []answers {
	money := answers{event, "payment", returned()}
	goods := answers{event, "inventory", []string{"InventoryReleased"}}
	switch event {
	case "PaymentFailed":
		return nil
	case "InventoryReservationFailed":
		return []answers{money}
	default:
		return []answers{money, goods}
	}
}

// waiting derives what the order waits for from the events that exist. Each wait has the holds that
// explain it; rest has the others.
func waiting(s Story, holds []saga.Hold) (waits []Wait, rest []saga.Hold) {
	last := map[string]Event{} // the latest of each type
	for _, e := range s.Events {
		if e.counts() {
			last[e.Type] = e
		}
	}
	has := func(types ...string) bool {
		return slices.ContainsFunc(types, func(t string) bool { return last[t].N > 0 })
	}
	// What a doubtful event might answer cannot be called unanswered.
	if !s.Ended && !slices.ContainsFunc(s.Events, Event.doubtful) {
		if s.Style == string(event.Orchestrated) {
			waits = append(waits, coordinated(s.Events, last, has))
		} else {
			for _, a := range open(has) {
				waits = append(waits, waitFor(a, last[a.to]))
			}
		}
	}
	for _, e := range s.Events { // events that are on no topic yet, the first of each relay
		if !e.Published && !slices.ContainsFunc(waits, func(w Wait) bool { return w.To == ToPublish && w.Service == e.Service }) {
			waits = append(waits, Wait{Service: e.Service, To: ToPublish, Event: e.Type, N: e.N, Because: []saga.Hold{}})
		}
	}
	for i := range waits {
		if s.Order != nil && s.Order.Status == "PENDING" {
			waits[i].By = &s.Order.ConfirmBy
		}
	}
	return explained(waits, holds)
}

// open returns the answers that the order needs next.
func open(has func(...string) bool) []answers {
	if has("OrderDelivered", "OrderCancelled") {
		return nil
	}
	unanswered := func(all []answers) []answers {
		return slices.DeleteFunc(all, func(a answers) bool { return has(a.with...) })
	}
	undoing := func(event string) []answers {
		left := slices.DeleteFunc(backward(event), func(a answers) bool {
			return a.service == "inventory" && !has("InventoryReserved")
		})
		if left = unanswered(left); len(left) > 0 {
			if left[0].service == "payment" && has("PaymentRefundFailed") {
				left[0] = answers{"PaymentRefundFailed", Operator, nil}
			}
			return left
		}
		for _, t := range returned() {
			if has(t) {
				return []answers{{t, "order", []string{"OrderCancelled"}}}
			}
		}
		return nil
	}
	switch {
	case has("OrderCancellationRequested") && !has("ShipmentCancellationRejected"):
		if !has("ShipmentCancelled") {
			return []answers{{"OrderCancellationRequested", "shipping", nil}}
		}
		return undoing("ShipmentCancelled")
	case has("ShipmentFailed"):
		return undoing("ShipmentFailed")
	case has("InventoryReservationFailed"):
		return undoing("InventoryReservationFailed")
	case has("PaymentFailed"):
		return undoing("PaymentFailed")
	}
	for _, a := range forward() {
		if !has(a.with...) {
			return []answers{a}
		}
	}
	return nil
}

func waitFor(a answers, event Event) Wait {
	w := Wait{Service: a.service, To: ToAnswer, Event: a.to, N: event.N, Because: []saga.Hold{}}
	switch {
	case event.N == 0: // the history has a gap, or has not begun
		w.N = 0
	case !event.Published:
		w.Service, w.To = event.Service, ToPublish
	case a.service == Operator:
		w.To = ToRetry
	case a.service == Carrier && a.to == "OrderConfirmed":
		w.To = ToDispatch
	case a.service == Carrier:
		w.To = ToDeliver
	}
	return w
}

// replica matches the end of the name of a service's second and further processes.
const replica = `-[0-9]+$`

// explained assigns each hold to the first wait that it can explain.
func explained(waits []Wait, holds []saga.Hold) (_ []Wait, rest []saga.Hold) {
	number := regexp.MustCompile(replica)
	rest = []saga.Hold{}
	for _, h := range holds {
		service := number.ReplaceAllString(h.Group, "")
		i := slices.IndexFunc(waits, func(w Wait) bool {
			switch {
			case w.To == ToPublish || h.Kind == saga.NotRelayed:
				return w.To == ToPublish && h.Kind == saga.NotRelayed && w.Service == service && (h.Type == "" || h.Type == w.Event)
			case w.Service == Carrier:
				return service == "shipping" && (h.Kind == saga.BreakerOpen || h.Kind == saga.CallsFail)
			case w.Service == Operator:
				return h.Kind == saga.RefundFailed
			}
			return w.Service == service
		})
		if i < 0 {
			rest = append(rest, h)
			continue
		}
		waits[i].Because = append(waits[i].Because, h)
	}
	return waits, rest
}
