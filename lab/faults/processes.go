package faults

import (
	"context"
	"fmt"
	"strings"
	"time"

	"eventshop.example/lab/load"
	"eventshop.example/local/broker"
	"eventshop.example/local/stack"
	"eventshop.example/ops/eventshop"
)

func processes() []Fault {
	const family = "processes"
	return []Fault{
		{Name: "kill-services", Family: family, run: killServices,
			Done: "kill -9 of each service in turn, started again", Expect: "what was promised exists and ends; nothing twice"},
		{Name: "kill-gateway-carrier", Family: family, run: killOutside,
			Done: "kill -9 of the gateway and the carrier in the middle of calls, started again", Expect: "asked by key, done once"},
		{Name: "frozen-services", Family: family, run: frozenServices,
			Done: "four services frozen until their groups have given them up, thawed", Expect: "orders wait, then go on; nothing twice"},
	}
}

// killServices kills one service after the other without waiting for the previous one to return.
// Orders are under way at each kill: good ones, and ones without stock, whose money is returned.
func killServices(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	started := make(chan error, len(eventshop.Services()))
	for _, name := range eventshop.Services() {
		start, err := t.take(ctx, name)
		if err != nil {
			return err
		}
		if name != "order" {
			if _, err := t.place(ctx, load.Order{Quantity: stocked + 1}, cancelled); err != nil {
				return err
			}
		}
		go func() { started <- start(ctx) }()
		if err := t.loaded(ctx, t.sizes.PerSecond/2); err != nil {
			return err
		}
	}
	t.over(ctx)
	for range eventshop.Services() {
		if err := <-started; err != nil {
			return err
		}
	}
	return nil
}

func killOutside(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	var ids []string
	for _, name := range []string{"gateway", "carrier"} {
		// Slow enough for the kill to come in the middle of the call, but not for the caller's
		// timeout.
		_, err := t.rule(ctx, name, map[string]any{"match": map[string]any{"customerId": t.customer}, "latencyMs": (callTimeout / 2).Milliseconds()})
		if err != nil {
			return err
		}
		own, err := t.placeOwn(ctx, load.Order{}, delivered)
		if err != nil {
			return err
		}
		ids = append(ids, own...)
		if name == "carrier" {
			if err := t.charged(ctx, own); err != nil {
				return err
			}
		}
		start, err := t.take(ctx, name)
		if err != nil {
			return err
		}
		if err := t.loaded(ctx, 2); err != nil {
			return err
		}
		if err := start(ctx); err != nil {
			return err
		}
	}
	t.over(ctx)
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	return t.money(ctx, ids, 1, 0)
}

// charged waits until the gateway has the money of every order.
func (t *trial) charged(ctx context.Context, ids []string) error {
	return eventually(ctx, time.Minute, "every order is charged", func(ctx context.Context) (bool, error) {
		all, err := t.ledger(ctx)
		for _, id := range ids {
			if all[id].captures == 0 {
				return false, err
			}
		}
		return true, err
	})
}

func frozenServices(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	targets := []string{"payment", "inventory", "shipping", "orchestrator", "projection"}
	var thaws []func(ctx context.Context) error
	for _, name := range targets {
		thaw, err := t.freeze(name)
		if err != nil {
			return err
		}
		thaws = append(thaws, thaw)
	}
	frozen := time.Now()
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	if err := t.members(ctx, 0, targets...); err != nil {
		return err
	}
	t.see("out of their groups after %.1f s", time.Since(frozen).Seconds())
	for _, thaw := range thaws {
		if err := thaw(ctx); err != nil {
			return err
		}
	}
	t.over(ctx)
	return t.reach(ctx, ids, delivered)
}

// members waits until each group has n members, none of them idle.
func (t *trial) members(ctx context.Context, n int, groups ...string) error {
	for _, group := range groups {
		err := eventually(ctx, time.Minute, fmt.Sprintf("%d members share %s's partitions", n, group), func(ctx context.Context) (bool, error) {
			shares, err := broker.Shares(ctx, t.admin, group)
			idle := 0
			for _, s := range shares {
				if s == 0 {
					idle++
				}
			}
			return shares != nil && len(shares) == n && idle == 0, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unready waits until every process reports that it is not ready, with a reason that contains the
// words.
func (t *trial) unready(ctx context.Context, words string, names ...string) error {
	for _, name := range names {
		last := ""
		err := eventually(ctx, 30*time.Second, fmt.Sprintf("%s is not ready because of %q", name, words), func(ctx context.Context) (bool, error) {
			err := t.ready(ctx, name)
			if err != nil && ctx.Err() == nil {
				last = err.Error()
			}
			return err != nil && strings.Contains(err.Error(), words), nil
		})
		if err != nil {
			return fmt.Errorf("%w (its own reason was %q)", err, last)
		}
	}
	return nil
}

// allReady waits until every process is ready.
func (t *trial) allReady(ctx context.Context, names ...string) error {
	for _, name := range names {
		err := eventually(ctx, time.Minute, name+" is ready", func(ctx context.Context) (bool, error) {
			err := t.ready(ctx, name)
			return err == nil, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ready asks a process whether it is ready.
func (t *trial) ready(ctx context.Context, name string) error {
	return t.shop(func(s *stack.Stack) error { return s.Ready(ctx, name) })
}
