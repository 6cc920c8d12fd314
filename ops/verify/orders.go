package verify

import (
	"encoding/json"
	"fmt"
)

// folded is the state that an order's events lead to. This is a second interpretation of the stored
// stream, intentionally separate from the order service's.
type folded struct {
	status    string
	attention bool
	total     int64
	currency  string
	ends      []string   // terminal statuses entered
	after     []reported // status changes after the end
}

// statusOf maps domain event types to the status they lead to.
var statusOf = map[string]string{
	"OrderCreated":               "PENDING",
	"OrderConfirmed":             "CONFIRMED",
	"OrderCancellationRequested": "CANCELLING",
	"OrderCancelled":             "CANCELLED",
	"OrderShipped":               "SHIPPED",
	"OrderDelivered":             "DELIVERED",
	"DraftStarted":               "DRAFT",
	"DraftDiscarded":             "DISCARDED",
}

func fold(evs []DomainEvent) folded {
	var f folded
	for _, e := range evs {
		if e.Type == "OrderNeedsAttention" {
			f.attention = true
		}
		status, ok := statusOf[e.Type]
		if !ok {
			continue
		}
		if len(f.ends) > 0 {
			f.after = append(f.after, tell("%s at version %d", e.Type, e.Version))
		}
		if status == "CANCELLED" || status == "DELIVERED" || status == "DISCARDED" {
			f.ends = append(f.ends, status)
			f.attention = false
		}
		f.status = status
		if e.Type == "OrderCreated" {
			f.total, f.currency = integer(e.Data["totalAmount"]), text(e.Data["currency"])
		}
	}
	return f
}

func integer(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case json.Number: // as Load decodes it: a float has too few digits for some amounts
		i, _ := n.Int64()
		return i
	}
	return 0
}

func text(v any) string { s, _ := v.(string); return s }

// terminal is I3: every order reaches exactly one terminal state and never leaves it, or needs
// attention, by itself or by its saga, or is held: a group of the saga has one of its events parked or as
// a dead letter, or an operator has discarded one. Failures in the read models do not count as holding
// an order.
func terminal(f Facts) Finding {
	r := Finding{Invariant: "I3", Title: "each order ends once, or asks for attention"}
	ended, asking, waiting, drafts := 0, 0, 0, 0
	held, asks := holding(f), map[string]bool{}
	for _, saga := range f.Sagas {
		asks[saga.OrderID] = saga.Attention != ""
	}
	for _, o := range f.Orders {
		s := fold(o.Events)
		switch {
		case len(s.ends) > 1:
			r.breach("order %s ended %d times: %v", o.ID, len(s.ends), s.ends)
		case len(s.after) > 0:
			r.breach("order %s went on after its end: %v", o.ID, s.after)
		case len(s.ends) == 1:
			ended++
		case s.attention, s.status != "DRAFT" && asks[o.ID]:
			asking++
		case s.status == "DRAFT": // nothing happens to it before it is placed
			drafts++
		case held[o.ID]:
			waiting++
		default:
			r.breach("order %s is at rest as %s", o.ID, s.status)
		}
	}
	r.Counted = fmt.Sprintf("%d orders: %d ended, %d need attention, %d held by a failed event", len(f.Orders), ended, asking, waiting)
	if drafts > 0 {
		r.Counted += fmt.Sprintf(", %d drafts", drafts)
	}
	return r
}

// streams is I9: versions are contiguous from 1, and each snapshot equals the fold of the events
// up to its version.
func streams(f Facts) Finding {
	r := Finding{Invariant: "I9", Title: "streams contiguous, snapshot + tail = replay"}
	events, snapshots := 0, 0
	for _, o := range f.Orders {
		events += len(o.Events)
		for i, e := range o.Events {
			if e.Version != int64(i+1) {
				r.breach("order %s has version %d where %d belongs", o.ID, e.Version, i+1)
				break
			}
		}
		for _, s := range o.Snapshots {
			snapshots++
			if s.Version < 1 || s.Version > int64(len(o.Events)) {
				r.breach("order %s has a snapshot at version %d of %d", o.ID, s.Version, len(o.Events))
				continue
			}
			if want := fold(o.Events[:s.Version]).status; s.Status != want {
				r.breach("order %s: snapshot at version %d says %s, its events say %s", o.ID, s.Version, s.Status, want)
			}
		}
	}
	r.Counted = fmt.Sprintf("%d streams, %d events, %d snapshots", len(f.Orders), events, snapshots)
	return r
}

// answers is I8: one idempotency key, one order; and every order that was promised exists.
func answers(f Facts) Finding {
	r := Finding{Invariant: "I8", Title: "one idempotency key, one order"}
	exists := map[string]bool{}
	for _, o := range f.Orders {
		exists[o.ID] = true
	}
	byKey, byOrder := map[[2]string]string{}, map[string][2]string{}
	for _, a := range f.Answers {
		k := [2]string{a.Scope, a.Key}
		if other, ok := byKey[k]; ok && other != a.OrderID {
			r.breach("key %s promised two orders: %s and %s", a.Key, other, a.OrderID)
		}
		byKey[k] = a.OrderID
		if a.Status/100 != 2 {
			continue
		}
		if other, ok := byOrder[a.OrderID]; ok && other != k {
			r.breach("order %s was promised under two keys: %s and %s", a.OrderID, other[1], a.Key)
		}
		byOrder[a.OrderID] = k
		if !exists[a.OrderID] {
			r.breach("order %s was promised under key %s and does not exist", a.OrderID, a.Key)
		}
	}
	r.Counted = fmt.Sprintf("%d stored answers, %d orders", len(f.Answers), len(f.Orders))
	return r
}
