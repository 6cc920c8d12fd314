package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"eventshop.example/lab/load"
	"eventshop.example/lab/plant"
	"eventshop.example/local/stack"
	"eventshop.example/ops/jsonhttp"
	"eventshop.example/pkg/event"
)

// Statuses of an order.
const (
	pending    = "PENDING"
	confirmed  = "CONFIRMED"
	delivered  = "DELIVERED"
	cancelling = "CANCELLING"
	cancelled  = "CANCELLED"
)

// stocked is how many pieces of its own SKU each fault has.
const stocked = 20_000

// trial is a fault while it is injected: its orders, its observations, and the steps to undo. The
// runner creates it; one goroutine uses it.
type trial struct {
	*world
	customer string // of this fault's own orders, and of no other's
	sku      string

	load     *load.Load
	wants    map[string]string // own order → its required end
	undo     []func(ctx context.Context) error
	healed   time.Time // when the fault ended; zero before
	recovery <-chan recovery
	seen     []string
	failures []string
}

// see adds an observation.
func (t *trial) see(format string, args ...any) {
	t.seen = append(t.seen, fmt.Sprintf(format, args...))
}

// expect adds a failure if ok is false. The fault continues.
func (t *trial) expect(ok bool, format string, args ...any) {
	if !ok {
		t.failures = append(t.failures, fmt.Sprintf(format, args...))
	}
}

// over marks the end of the fault: the shop recovers from now on.
func (t *trial) over(ctx context.Context) {
	t.healed = time.Now()
	orders := maps.Clone(t.wants)
	if t.load != nil {
		for _, id := range t.load.Promised() {
			orders[id] = delivered
		}
	}
	t.recovery = watch(ctx, t.healed, t.file.URL["order"], orders)
}

// later adds a step that is undone at the end of the fault, the latest first.
func (t *trial) later(undo func(ctx context.Context) error) { t.undo = append(t.undo, undo) }

// once makes undo run only once, at the latest at the end of the fault. The returned function may
// be called from another goroutine.
func (t *trial) once(undo func(ctx context.Context) error) func(ctx context.Context) error {
	var mu sync.Mutex
	done := false
	first := func(ctx context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if done {
			return nil
		}
		err := undo(ctx)
		done = err == nil
		return err
	}
	t.later(first)
	return first
}

// startLoad places orders until the fault is over. It returns when the first ones are placed.
func (t *trial) startLoad(ctx context.Context) error {
	t.load = load.Start(ctx, load.Config{SKU: t.sku, PerSecond: t.sizes.PerSecond,
		Customers: []string{t.customer + "-ada", t.customer + "-bob", t.customer + "-eve"},
		Orders:    []string{t.file.URL["order"]}})
	return t.loaded(ctx, 2)
}

// loaded waits for n more orders of the load.
func (t *trial) loaded(ctx context.Context, n int) error {
	n += t.load.Placed()
	return eventually(ctx, time.Minute, fmt.Sprintf("%d orders are placed", n), func(context.Context) (bool, error) {
		return t.load.Placed() >= n, nil
	})
}

// style returns how an order's saga is coordinated.
func (t *trial) style(ctx context.Context, id string) (event.Style, error) {
	var order struct{ Saga string }
	if err := t.call(ctx, http.MethodGet, "order", "/orders/"+id, nil, &order); err != nil {
		return "", err
	}
	return event.ParseStyle(order.Saga)
}

// place places an order of the fault's own, which has to end as wanted.
func (t *trial) place(ctx context.Context, o load.Order, want string) (string, error) {
	if o.Customer == "" {
		o.Customer = t.customer
	}
	if o.SKU == "" {
		o.SKU = t.sku
	}
	o.Quantity = max(o.Quantity, 1)
	where := func() string { return t.file.URL["order"] + "/orders" }
	key := fmt.Sprintf("%s-%d", t.customer, time.Now().UnixNano())
	a, err := t.http.Insist(ctx, where, o.Body(), key, http.StatusCreated)
	if err != nil {
		return "", err
	}
	t.wants[a.OrderID()] = want
	return a.OrderID(), nil
}

// placeOwn places as many orders as the fault acts on.
func (t *trial) placeOwn(ctx context.Context, o load.Order, want string) (ids []string, err error) {
	for range t.sizes.Own {
		id, err := t.place(ctx, o, want)
		if err != nil {
			return ids, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// cancel requests an order's cancellation.
func (t *trial) cancel(ctx context.Context, id string) error {
	return t.call(ctx, http.MethodPost, "order", "/orders/"+id+"/cancel", map[string]any{}, nil)
}

// reach waits until every order has one of the statuses.
func (t *trial) reach(ctx context.Context, ids []string, statuses ...string) error {
	for _, id := range ids {
		err := eventually(ctx, 2*time.Minute, fmt.Sprintf("order %s is %v", id, statuses), func(ctx context.Context) (bool, error) {
			s, err := t.status(ctx, id)
			return slices.Contains(statuses, s), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rule adds a fault rule to an external system.
func (t *trial) rule(ctx context.Context, at string, rule map[string]any) (remove func(ctx context.Context) error, err error) {
	var made struct{ ID string }
	if err := t.call(ctx, http.MethodPost, at, "/faults", rule, &made); err != nil {
		return nil, err
	}
	return t.once(func(ctx context.Context) error {
		err := t.call(ctx, http.MethodDelete, at, "/faults/"+made.ID, nil, nil)
		if jsonhttp.StatusOf(err) == http.StatusNotFound {
			return nil // used up, or lost in a restart
		}
		return err
	}), nil
}

// refuse plants a fault in a service's database.
func (t *trial) refuse(ctx context.Context, service string, f plant.Fault) (remove func(ctx context.Context) error, err error) {
	remove, err = plant.Refuse(ctx, t.file.DSN[service], f)
	if err != nil {
		return nil, err
	}
	return t.once(remove), nil
}

// take kills a process with SIGKILL. give, or the end of the fault, starts it again.
func (t *trial) take(ctx context.Context, name string) (give func(ctx context.Context) error, err error) {
	if err := t.shop(func(s *stack.Stack) error { return s.Kill(ctx, name) }); err != nil {
		return nil, err
	}
	return t.once(func(ctx context.Context) error {
		return t.shop(func(s *stack.Stack) error { return s.Start(ctx, name) })
	}), nil
}

// freeze stops a process with SIGSTOP. thaw, or the end of the fault, resumes it.
func (t *trial) freeze(name string) (thaw func(ctx context.Context) error, err error) {
	if err := t.shop(func(s *stack.Stack) error { return s.Pause(name) }); err != nil {
		return nil, err
	}
	return t.once(func(context.Context) error {
		return t.shop(func(s *stack.Stack) error { return s.Resume(name) })
	}), nil
}

// clean undoes everything, the latest first.
func (t *trial) clean(ctx context.Context) error {
	var failures []error
	for _, undo := range slices.Backward(t.undo) {
		failures = append(failures, undo(ctx))
	}
	return errors.Join(failures...)
}
