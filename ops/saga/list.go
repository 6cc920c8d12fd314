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

// Filter selects sagas. The zero value selects all that have not ended, that need attention, or
// that are blocked in some service.
type Filter struct {
	NeedsAttention bool          // the order service, or the orchestrator, asks for an operator
	OlderThan      time.Duration // placed at least this long ago
	Stuck          bool          // see Saga.Stuck
	LateAfter      time.Duration // an order without an event for so long waits for a late answer; 0: none is late
}

// List returns the sagas that the filter selects with their holds, oldest first. An order that has
// ended is included if another service still has unfinished work for it. unanswered lists the
// services that could not be asked, with the question. The error is the order service's.
func (s *Shop) List(ctx context.Context, f Filter) (list []Saga, unanswered []error, err error) {
	sagas, err := s.underWay(ctx, f)
	if err != nil {
		return nil, nil, fmt.Errorf("ask the order service what is under way: %w", err)
	}
	h := s.holds(ctx, "")
	var bad failures
	bad.add(h.failed...)
	sagas = append(sagas, s.further(ctx, f, sagas, h, &bad)...)
	each(sagas, func(saga *Saga) { s.complete(ctx, saga, h, &bad) })
	s.late(ctx, f.LateAfter, sagas, &bad)
	list = slices.DeleteFunc(sagas, func(saga Saga) bool { return f.Stuck && !saga.Stuck() })
	slices.SortFunc(list, func(a, b Saga) int { return cmp.Compare(a.OrderID, b.OrderID) }) // UUIDv7: by time
	return list, bad.list(), nil
}

// further finds the orders that the order service has not listed but have a hold in another service:
// they have ended, or they need attention there only.
func (s *Shop) further(ctx context.Context, f Filter, listed []Saga, h holds, bad *failures) []Saga {
	left := maps.Clone(h.byOrder)
	for _, saga := range listed {
		delete(left, saga.OrderID)
	}
	var more []Saga
	for _, id := range slices.Sorted(maps.Keys(left)) {
		if f.NeedsAttention && !h.asking[id] {
			continue
		}
		if _, err := uuid.Parse(id); err == nil { // otherwise the key of a foreign record
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

// reserved reports whether the goods are reserved, so that shipping is next.
func (s *Shop) reserved(ctx context.Context, orderID string, bad *failures) bool {
	var r struct{ Status string }
	if _, err := get(ctx, s.inventory, "/reservations/", orderID, &r); err != nil {
		bad.add(fmt.Errorf("inventory cannot be asked: %w", err))
	}
	return r.Status == "RESERVED"
}

// each calls do for every saga, several in parallel.
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

// failures collects errors and drops repeated texts.
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
