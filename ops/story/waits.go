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
	Carrier  = saga.Carrier
	Operator = saga.Operator
)

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
			for _, a := range saga.Open(has) {
				waits = append(waits, waitFor(a, last[a.To]))
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

func waitFor(a saga.Answers, event Event) Wait {
	w := Wait{Service: a.Service, To: ToAnswer, Event: a.To, N: event.N, Because: []saga.Hold{}}
	switch {
	case event.N == 0: // the history has a gap, or has not begun
		w.N = 0
	case !event.Published:
		w.Service, w.To = event.Service, ToPublish
	case a.Service == Operator:
		w.To = ToRetry
	case a.Service == Carrier && a.To == "OrderConfirmed":
		w.To = ToDispatch
	case a.Service == Carrier:
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
