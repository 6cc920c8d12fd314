package faults

import (
	"context"
	"fmt"
	"maps"
	"time"

	"eventshop.example/lab/load"
)

// outside is a call to an external system whose outcome may be unknown.
type outside struct {
	name      string // of its faults
	at        string // the called process, whose rules break the call
	operation string // as the rules name it
	service   string // the caller
	ends      string // how its orders end without a fault
	captures  int    // at the gateway, per order
	refunds   int
	// ready creates orders that are one step before the call; nil if placing an order is enough.
	ready func(ctx context.Context, t *trial) (ids []string, err error)
	// start triggers the call.
	start func(ctx context.Context, t *trial, ids []string) ([]string, error)
}

func outsides() []outside {
	placed := func(ctx context.Context, t *trial, _ []string) ([]string, error) {
		return t.placeOwn(ctx, load.Order{}, delivered)
	}
	return []outside{
		{name: "charge", at: "gateway", operation: "charge", service: "payment", ends: delivered, captures: 1, start: placed},
		{name: "refund", at: "gateway", operation: "refund", service: "payment", ends: cancelled, captures: 1, refunds: 1,
			start: func(ctx context.Context, t *trial, _ []string) ([]string, error) {
				return t.placeOwn(ctx, load.Order{Quantity: stocked + 1}, cancelled) // more than the stock: paid, then refunded
			}},
		{name: "schedule", at: "carrier", operation: "schedule", service: "shipping", ends: delivered, captures: 1, start: placed},
		{name: "cancel", at: "carrier", operation: "cancel", service: "shipping", ends: cancelled, captures: 1, refunds: 1,
			ready: func(ctx context.Context, t *trial) ([]string, error) { return t.confirmed(ctx, time.Minute, cancelled) },
			start: func(ctx context.Context, t *trial, ids []string) ([]string, error) { return ids, t.cancelAll(ctx, ids) }},
	}
}

// confirmed creates orders that are confirmed and whose parcels leave only after a while.
func (t *trial) confirmed(ctx context.Context, leaves time.Duration, want string) ([]string, error) {
	_, err := t.rule(ctx, "carrier", map[string]any{
		"match": map[string]any{"customerId": t.customer, "operation": "schedule"}, "dispatchAfterMs": leaves.Milliseconds()})
	if err != nil {
		return nil, err
	}
	ids, err := t.placeOwn(ctx, load.Order{}, want)
	if err != nil {
		return nil, err
	}
	return ids, t.reach(ctx, ids, confirmed)
}

func (t *trial) cancelAll(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if err := t.cancel(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// unknownOutcomes breaks each call in each way that leaves its outcome unknown to the caller.
func unknownOutcomes() []Fault {
	var all []Fault
	for _, call := range outsides() {
		add := func(way, done, expect string, run func(ctx context.Context, t *trial, call outside) error) {
			all = append(all, Fault{Name: call.name + "-" + way, Family: "unknown outcomes", Done: done, Expect: expect,
				run: func(ctx context.Context, t *trial) error { return run(ctx, t, call) }})
		}
		what := fmt.Sprintf("%s at the %s", call.name, call.at)
		add("answer-lost", what+" is done, its answer lost", "asked by key, done once", brokenFor(map[string]any{"answerLost": true}))
		add("slow", what+" answers after the timeout", "asked by key, done once", brokenFor(map[string]any{"latencyMs": (2 * callTimeout).Milliseconds()}))
		add("5xx", fmt.Sprintf("%s fails with 503 %d times", what, failures), "tried again with the same key, done once", failing)
		add("outage", "the "+call.at+" is away, then comes back, with "+call.name+"s under way",
			"breaker opens, orders wait, all go on after the probe", outage)
	}
	return all
}

// brokenFor breaks the call of each of the fault's own orders once, as rule describes.
func brokenFor(rule map[string]any) func(ctx context.Context, t *trial, call outside) error {
	return func(ctx context.Context, t *trial, call outside) error {
		return t.callsBroken(ctx, call, rule, t.sizes.Own)
	}
}

// failures is a number that does not open a breaker.
const failures = 4

func failing(ctx context.Context, t *trial, call outside) error {
	return t.callsBroken(ctx, call, map[string]any{"status": 503}, failures)
}

func (t *trial) callsBroken(ctx context.Context, call outside, rule map[string]any, times int) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	ids, err := call.prepare(ctx, t)
	if err != nil {
		return err
	}
	rule = maps.Clone(rule)
	rule["match"], rule["times"] = map[string]any{"customerId": t.customer, "operation": call.operation}, times
	remove, err := t.rule(ctx, call.at, rule)
	if err != nil {
		return err
	}
	if ids, err = call.start(ctx, t, ids); err != nil {
		return err
	}
	err = eventually(ctx, time.Minute, fmt.Sprintf("%d calls are broken", times), func(ctx context.Context) (bool, error) {
		left, err := t.rules(ctx, call.at)
		return !left[t.customer+" "+call.operation], err
	})
	if err != nil {
		return err
	}
	t.over(ctx)
	t.see("%d calls broken", times)
	if err := remove(ctx); err != nil {
		return err
	}
	if err := t.reach(ctx, ids, call.ends); err != nil {
		return err
	}
	return t.money(ctx, ids, call.captures, call.refunds)
}

func (c outside) prepare(ctx context.Context, t *trial) ([]string, error) {
	if c.ready == nil {
		return nil, nil
	}
	return c.ready(ctx, t)
}

// outage makes the whole gateway or carrier unavailable until its breaker has opened, and for some
// time after that.
func outage(ctx context.Context, t *trial, call outside) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	ids, err := call.prepare(ctx, t)
	if err != nil {
		return err
	}
	refused, err := t.sample(ctx, call.service, "eventshop_breaker_calls_total", `result="refused"`)
	if err != nil {
		return err
	}
	remove, err := t.rule(ctx, call.at, map[string]any{"down": true})
	if err != nil {
		return err
	}
	if ids, err = call.start(ctx, t, ids); err != nil {
		return err
	}
	if err := t.breaker(ctx, call.service, call.at, false); err != nil {
		return err
	}
	if err := pass(ctx, t.sizes.Hold); err != nil {
		return err
	}
	waiting, err := underWay(ctx, t.file.URL["order"], t.wants, pending, cancelling)
	if err != nil {
		return err
	}
	t.expect(len(waiting) == len(ids), "%d of %d orders wait while the %s is away", len(waiting), len(ids), call.at)
	if err := remove(ctx); err != nil {
		return err
	}
	t.over(ctx)
	if err := t.breaker(ctx, call.service, call.at, true); err != nil {
		return err
	}
	t.see("breaker closed %.1f s after the end", time.Since(t.healed).Seconds())
	now, err := t.sample(ctx, call.service, "eventshop_breaker_calls_total", `result="refused"`)
	if err != nil {
		return err
	}
	t.expect(now > refused, "the breaker refused no call")
	t.see("%.0f calls refused", now-refused)
	if err := t.reach(ctx, ids, call.ends); err != nil {
		return err
	}
	return t.money(ctx, ids, call.captures, call.refunds)
}

// breaker waits until a service's breaker is closed, or is not closed.
func (t *trial) breaker(ctx context.Context, service, name string, closed bool) error {
	what := map[bool]string{true: "closes", false: "opens"}[closed]
	return eventually(ctx, 30*time.Second, fmt.Sprintf("%s's breaker %s %s", service, name, what), func(ctx context.Context) (bool, error) {
		g, err := t.fleet().Group(service)
		if err != nil {
			return false, err
		}
		b, err := g.Breaker(ctx, name)
		return b.Name == name && b.Closed() == closed, err
	})
}

// rules returns the customers and operations that a process still has fault rules for, as
// "customer operation".
func (t *trial) rules(ctx context.Context, at string) (map[string]bool, error) {
	var list struct {
		Faults []struct {
			Match struct{ CustomerID, Operation string }
		}
	}
	left := map[string]bool{}
	err := t.call(ctx, "GET", at, "/faults", nil, &list)
	for _, f := range list.Faults {
		left[f.Match.CustomerID+" "+f.Match.Operation] = true
	}
	return left, err
}
