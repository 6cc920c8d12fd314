package verify

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// projection is I10: the live read models equal a rebuild from offset 0. [Rebuild] rebuilds them,
// not the projection service: two programs have to agree. The rebuild leaves out records that the
// projection has not received yet, see heard.
func projection(f Facts) Finding {
	r := Finding{Invariant: "I10", Title: "live projection = rebuilt from offset 0"}
	live, want := f.Projection, f.Rebuilt
	for _, id := range keys(live.Orders, want.Orders) {
		l, lok := live.Orders[id]
		w, wok := want.Orders[id]
		switch {
		case !lok:
			r.breach("order %s is missing from the read model", id)
		case !wok:
			r.breach("order %s is in the read model and on no topic", id)
		case !l.UpdatedAt.Equal(w.UpdatedAt):
			r.breach("order %s: read model updated %s, rebuilt %s", id, l.UpdatedAt, w.UpdatedAt)
		default:
			l.UpdatedAt, w.UpdatedAt = time.Time{}, time.Time{}
			if l != w {
				r.breach("order %s: read model %s, rebuilt %s", id, l, w)
			}
		}
	}
	entries := 0
	for _, id := range keys(live.Timeline, want.Timeline) {
		entries += len(live.Timeline[id])
		if !maps.Equal(live.Timeline[id], want.Timeline[id]) {
			r.breach("order %s: timeline has %d events, rebuilt %d, or other ones",
				id, len(live.Timeline[id]), len(want.Timeline[id]))
		}
	}
	for _, day := range keys(live.Revenue, want.Revenue) {
		if !live.Revenue[day].Equal(want.Revenue[day]) {
			r.breach("revenue of %s: read model %s, rebuilt %s", shownDay(day), live.Revenue[day], want.Revenue[day])
		}
	}
	further := r.compare(live.Versions, want.Versions)
	r.Counted = fmt.Sprintf("%d orders, %d timeline entries, %d days", len(live.Orders), entries, len(live.Revenue))
	if further > 0 {
		r.Counted += fmt.Sprintf(", %d rows of further versions", further)
	}
	return r
}

// keys returns the keys of both maps, each once, sorted.
func keys[V any](a, b map[string]V) []string {
	all := map[string]bool{}
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// heard returns the records as the projection has received them. It leaves out records that the
// projection still has to retry, gave up on, or that an operator discarded. It replaces repaired
// records by their repaired form. So orders that are held are compared too. It also leaves out
// records that are not events of their key. An event's copies on its key's partition come before
// the others: a copy elsewhere came later, whatever the position of its partition.
func heard(f Facts) []Record {
	h, discarded := hold(f), discardedPlaces(f, projector)
	out := make([]Record, 0, len(f.Records))
	for _, rec := range f.Records {
		if discarded[rec.Place()] || !sound(rec) {
			continue // also if its dead letter was pruned since
		}
		at := slices.Clone(h.at[placeOf{projector, rec.Place()}])
		for _, o := range h.inbox[receipt{projector, rec.ID}] {
			// Copies behind the failed one are dropped as duplicates. One before it was handled: where
			// a group stores positions, a later copy may still fail, or wait behind a failed record.
			if !before(rec.Place(), o.place) {
				at = append(at, o)
			}
		}
		if !slices.ContainsFunc(at, func(o holder) bool { return o.state != "resolved" || o.letter.Repaired != nil }) {
			out = append(out, rec)
		}
	}
	slices.SortStableFunc(out, strayedLast)
	for _, l := range f.DeadLetters {
		if l.Group == projector && l.Status == "resolved" && l.Repaired != nil {
			out = append(out, *l.Repaired)
		}
	}
	return out
}

// before reports whether a record precedes another of its partition.
func before(a, b Place) bool {
	return a.Topic == b.Topic && a.Partition == b.Partition && a.Offset < b.Offset
}

// strayedLast sorts strayed records last.
func strayedLast(a, b Record) int {
	switch {
	case a.Strayed == b.Strayed:
		return 0
	case a.Strayed:
		return 1
	}
	return -1
}

// Rebuild folds the read models from the records of all topics. Duplicates count once. Among an
// order's and among a payment's events the latest version decides, so the order of the records does
// not matter.
func Rebuild(records []Record) Projection {
	p := Projection{
		Orders:   map[string]ProjectedOrder{},
		Timeline: map[string]map[uuid.UUID]string{},
		Revenue:  map[string]Revenue{},
	}
	seen := map[uuid.UUID]bool{}
	latest := map[string]version{}
	more := further{created: map[string]*events.OrderCreated{}}
	for _, rec := range records {
		if rec.Event == nil || seen[rec.ID] {
			continue
		}
		seen[rec.ID] = true
		id := rec.Key
		if e, ok := rec.Event.(event.Event); ok {
			id = e.AggregateKey() // the event's own key, as the projection reads it
		}
		o, v := p.Orders[id], latest[id]
		at, counts := apply(&o, &v, p.Revenue, rec)
		if !counts {
			continue // notifications, snapshots and commands do not change the read models
		}
		if at.After(o.UpdatedAt) {
			o.UpdatedAt = at
		}
		p.Orders[id], latest[id] = o, v
		if p.Timeline[id] == nil {
			p.Timeline[id] = map[uuid.UUID]string{}
		}
		p.Timeline[id][rec.ID] = rec.Type
		more.note(id, rec.Event)
	}
	p.Versions = more.versions(p, latest)
	for id := range p.Orders {
		if !latest[id].created {
			delete(p.Orders, id) // shown only with OrderCreated
		}
	}
	return p
}

// version is the progress of one order's row: the version of the order event that set its status,
// the version of the payment event that set its need for attention, and whether its OrderCreated
// has arrived.
type version struct {
	status, attention int64
	created           bool
}

func (v *version) setStatus(o *ProjectedOrder, at int64, status string) {
	if at > v.status {
		v.status, o.Status = at, status
	}
}

func (v *version) setAttention(o *ProjectedOrder, at int64, needed bool) {
	if at > v.attention {
		v.attention, o.NeedsAttention = at, needed
	}
}

// apply applies a record's event to one order's row and the revenue. It returns the event's time.
// counts is false for events outside the read models.
func apply(o *ProjectedOrder, v *version, revenue map[string]Revenue, rec Record) (at time.Time, counts bool) {
	switch e := rec.Event.(type) {
	case *events.OrderCreated:
		v.setStatus(o, rec.Version, "PENDING")
		if !v.created { // an order is created once: another OrderCreated shows only in the timeline
			v.created = true
			o.CustomerID, o.Currency = e.Customer.ID, e.Currency
			o.TotalAmount, o.Items = e.TotalAmount, len(e.Items)
		}
		return e.OccurredAt, true
	case *events.OrderConfirmed:
		v.setStatus(o, rec.Version, "CONFIRMED")
		return e.OccurredAt, true
	case *events.OrderCancellationRequested:
		v.setStatus(o, rec.Version, "CANCELLING")
		return e.OccurredAt, true
	case *events.OrderCancelled:
		v.setStatus(o, rec.Version, "CANCELLED")
		o.CancelReason = e.Reason
		return e.OccurredAt, true
	case *events.OrderShipped:
		v.setStatus(o, rec.Version, "SHIPPED")
		o.TrackingID = e.TrackingID
		return e.OccurredAt, true
	case *events.OrderDelivered:
		v.setStatus(o, rec.Version, "DELIVERED")
		return e.OccurredAt, true
	case *events.PaymentCompleted:
		k := dayKey(e.OccurredAt, e.Currency)
		r := revenue[k]
		r.Captured, r.Payments = r.Captured.plus(total(e.Amount)), r.Payments+1
		revenue[k] = r
		return e.OccurredAt, true
	case *events.PaymentRefunded:
		k := dayKey(e.OccurredAt, e.Currency)
		r := revenue[k]
		r.Refunded, r.Refunds = r.Refunded.plus(total(e.Amount)), r.Refunds+1
		revenue[k] = r
		v.setAttention(o, rec.Version, false)
		return e.OccurredAt, true
	case *events.PaymentRefundFailed:
		v.setAttention(o, rec.Version, true)
		return e.OccurredAt, true
	case *events.PaymentFailed:
		v.setAttention(o, rec.Version, false) // a void that waited for an answer found a decline
		return e.OccurredAt, true
	case *events.PaymentVoided:
		v.setAttention(o, rec.Version, false)
		return e.OccurredAt, true
	case *events.InventoryReserved:
		return e.OccurredAt, true
	case *events.InventoryReservationFailed:
		return e.OccurredAt, true
	case *events.InventoryReleased:
		return e.OccurredAt, true
	case *events.ShipmentScheduled:
		return e.OccurredAt, true
	case *events.ShipmentFailed:
		return e.OccurredAt, true
	case *events.ShipmentDispatched:
		return e.OccurredAt, true
	case *events.ShipmentDelivered:
		return e.OccurredAt, true
	case *events.ShipmentCancelled:
		return e.OccurredAt, true
	case *events.ShipmentCancellationRejected:
		return e.OccurredAt, true
	case *events.OrderCommandAnswered:
		return e.OccurredAt, true
	case *events.PaymentCommandAnswered:
		return e.OccurredAt, true
	case *events.InventoryCommandAnswered:
		return e.OccurredAt, true
	case *events.ShipmentCommandAnswered:
		return e.OccurredAt, true
	}
	return time.Time{}, false
}

func dayKey(t time.Time, currency string) string {
	return t.UTC().Format(time.DateOnly) + " " + currency
}
