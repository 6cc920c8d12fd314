package saga

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Filter selects sagas. The zero value selects all that have not ended, need attention,
// or are held up in some service.
type Filter struct {
	NeedsAttention bool          // the order service says that a person has to look
	OlderThan      time.Duration // placed at least so long ago
	Stuck          bool          // see Saga.Stuck
}

// List returns the sagas that the filter selects with what holds them, oldest first. An
// order that has ended is among them while a service holds something of it back.
// unanswered are the services that could not be asked and what for; the error is that of
// the order service.
func (s *Shop) List(ctx context.Context, f Filter) (list []Saga, unanswered []error, err error) {
	sagas, err := s.underWay(ctx, f)
	if err != nil {
		return nil, nil, fmt.Errorf("ask the order service what is under way: %w", err)
	}
	h := s.holds(ctx)
	var bad failures
	bad.add(h.failed...)
	if !f.NeedsAttention {
		sagas = append(sagas, s.ended(ctx, f, sagas, h, &bad)...)
	}
	each(sagas, func(saga *Saga) { s.complete(ctx, saga, h, &bad) })
	list = slices.DeleteFunc(sagas, func(saga Saga) bool { return f.Stuck && !saga.Stuck() })
	slices.SortFunc(list, func(a, b Saga) int { return cmp.Compare(a.OrderID, b.OrderID) }) // UUIDv7: by time
	return list, bad.list(), nil
}

// ended finds the orders that are over at the order service, but of which another
// service still holds something back.
func (s *Shop) ended(ctx context.Context, f Filter, listed []Saga, h holds, bad *failures) []Saga {
	left := maps.Clone(h.byOrder)
	for _, saga := range listed {
		delete(left, saga.OrderID)
	}
	var more []Saga
	for _, id := range slices.Sorted(maps.Keys(left)) {
		if _, err := uuid.Parse(id); err == nil { // else the key of rubbish
			more = append(more, Saga{OrderID: id})
		}
	}
	each(more, func(saga *Saga) {
		if known, err := get(ctx, s.order, "/orders/", saga.OrderID, saga); err != nil {
			bad.add(fmt.Errorf("order cannot be asked: %w", err))
		} else if !known {
			saga.OrderID = ""
		}
	})
	return slices.DeleteFunc(more, func(saga Saga) bool {
		return saga.OrderID == "" || s.now().Sub(saga.PlacedAt) < f.OlderThan
	})
}

// complete adds what holds the saga up.
func (s *Shop) complete(ctx context.Context, saga *Saga, h holds, bad *failures) {
	now := s.now()
	waits := saga.Status == pending || saga.Status == cancelling // for the others' answers, until the deadline
	saga.Overdue = waits && now.After(saga.ConfirmBy) && now.Sub(saga.ChangedAt) > grace
	saga.Holds = append([]Hold{}, h.byOrder[saga.OrderID]...)

	gateway, carrier := h.breakers["payment"], h.breakers["shipping"]
	state := ""
	if saga.NeedsAttention || saga.Overdue || len(saga.Holds) > 0 || waits && len(gateway)+len(carrier) > 0 {
		var p struct{ State, LastError string }
		if _, err := get(ctx, s.payment, "/payments/", saga.OrderID, &p); err != nil {
			bad.add(fmt.Errorf("payment cannot be asked: %w", err))
			return
		}
		if state = p.State; state == "REFUND_FAILED" {
			saga.RefundFailed = true
			saga.Holds = append(saga.Holds, Hold{Kind: RefundFailed, Group: "payment", Detail: p.LastError})
		}
	}
	switch {
	case saga.Status == confirmed || saga.Status == shipped:
		saga.Holds = append(saga.Holds, carrier...) // no news of the parcel
	case !waits:
	case state == "" || state == "NONE" || state == "VOIDING" || state == "REFUNDING":
		saga.Holds = append(saga.Holds, gateway...)
	case state == "COMPLETED" && len(carrier) > 0:
		if saga.Status == cancelling || s.reserved(ctx, saga.OrderID, bad) {
			saga.Holds = append(saga.Holds, carrier...)
		}
	}
}

// reserved tells whether the goods are reserved, so that shipping is next.
func (s *Shop) reserved(ctx context.Context, orderID string, bad *failures) bool {
	var r struct{ State string }
	if _, err := get(ctx, s.inventory, "/reservations/", orderID, &r); err != nil {
		bad.add(fmt.Errorf("inventory cannot be asked: %w", err))
	}
	return r.State == "RESERVED"
}

// each does something for every saga, some side by side.
func each(sagas []Saga, do func(*Saga)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, sideBySide)
	for i := range sagas {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(&sagas[i])
		})
	}
	wg.Wait()
}

// failures collects errors, the same text once.
type failures struct {
	mu   sync.Mutex
	errs map[string]error
}

func (f *failures) add(errs ...error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.errs == nil {
		f.errs = map[string]error{}
	}
	for _, err := range errs {
		f.errs[err.Error()] = err
	}
}

func (f *failures) list() []error {
	var all []error
	for _, text := range slices.Sorted(maps.Keys(f.errs)) {
		all = append(all, f.errs[text])
	}
	return all
}
