package faults

import (
	"context"
	"errors"
	"sync"
	"time"

	"eventshop.example/lab/load"
	"eventshop.example/local/stack"
	"eventshop.example/ops/eventshop"
)

func replicas() []Fault {
	const family = "replicas"
	return []Fault{
		{Name: "scale-1-3-1", Family: family, run: scaleUpAndDown,
			Done: "every service as one process, three, one", Expect: "partitions and outbox shards change hands, nothing twice"},
		{Name: "zombies", Family: family, run: zombies,
			Done:   "one of two replicas of every service frozen past its session, with charges under way, then thawed",
			Expect: "the other takes over; the zombie's work has no effect"},
		{Name: "frozen-relay", Family: family, run: frozenRelay,
			Done: "one of two relays of the order service frozen past its lease, then thawed", Expect: "the other publishes its shards; first occurrences stay in order"},
	}
}

// scale runs services as n processes each. The end of the fault restores the number.
func (t *trial) scale(ctx context.Context, n int, names ...string) error {
	one := func(n int) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			failures := make([]error, len(names))
			var all sync.WaitGroup
			for i, name := range names {
				all.Go(func() {
					failures[i] = t.shop(func(s *stack.Stack) error { return s.Scale(ctx, name, n) })
				})
			}
			all.Wait()
			return errors.Join(failures...)
		}
	}
	if n > 1 {
		t.later(one(1))
	}
	if err := one(n)(ctx); err != nil {
		return err
	}
	return t.refresh()
}

func scaleUpAndDown(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	if err := t.scale(ctx, 3, eventshop.Services()...); err != nil {
		return err
	}
	t.load.Spread(t.file.URL["order"], t.file.URL["order-2"], t.file.URL["order-3"])
	if err := t.members(ctx, 3, eventshop.Services()...); err != nil {
		return err
	}
	if err := t.loaded(ctx, 3*t.sizes.PerSecond); err != nil {
		return err
	}
	t.see("%d orders until three of each shared the work", t.load.Placed())
	t.load.Spread(t.file.URL["order"])
	if err := t.scale(ctx, 1, eventshop.Services()...); err != nil {
		return err
	}
	t.over(ctx)
	return t.members(ctx, 1, eventshop.Services()...)
}

func zombies(ctx context.Context, t *trial) error {
	// The calls take long enough to be frozen in the middle.
	for at, operation := range map[string]string{"gateway": "charge", "carrier": "schedule"} {
		_, err := t.rule(ctx, at, map[string]any{"match": map[string]any{"operation": operation}, "latencyMs": (callTimeout / 2).Milliseconds()})
		if err != nil {
			return err
		}
	}
	if err := t.scale(ctx, 2, eventshop.Services()...); err != nil {
		return err
	}
	if err := t.members(ctx, 2, eventshop.Services()...); err != nil {
		return err
	}
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	var thaws []func(ctx context.Context) error
	for _, name := range eventshop.Services() {
		thaw, err := t.freeze(name + "-2")
		if err != nil {
			return err
		}
		thaws = append(thaws, thaw)
	}
	frozen := time.Now()
	if err := t.members(ctx, 1, eventshop.Services()...); err != nil {
		return err
	}
	// The work of the frozen processes is finished without them, too.
	if err := t.reach(ctx, ids, confirmed, "SHIPPED", delivered); err != nil {
		return err
	}
	t.see("taken over within %.1f s", time.Since(frozen).Seconds())
	for _, thaw := range thaws {
		if err := thaw(ctx); err != nil {
			return err
		}
	}
	t.over(ctx)
	if err := t.members(ctx, 2, eventshop.Services()...); err != nil {
		return err
	}
	if err := t.loaded(ctx, 2); err != nil {
		return err
	}
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	return t.money(ctx, ids, 1, 0)
}

func frozenRelay(ctx context.Context, t *trial) error {
	if err := t.scale(ctx, 2, "order"); err != nil {
		return err
	}
	shared := func(ctx context.Context, n int) error {
		return eventually(ctx, time.Minute, "the outbox's shards are led by the relays that live", func(ctx context.Context) (bool, error) {
			var holders int
			err := t.query(ctx, "order", `SELECT count(DISTINCT holder) FILTER (WHERE expires_at > now())
				* (bool_and(expires_at > now()))::int FROM outbox_lease`, nil, &holders)
			return holders == n, err
		})
	}
	if err := shared(ctx, 2); err != nil {
		return err
	}
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	thaw, err := t.freeze("order-2")
	if err != nil {
		return err
	}
	frozen := time.Now()
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	if err := shared(ctx, 1); err != nil {
		return err
	}
	t.see("the other leads all shards after %.1f s", time.Since(frozen).Seconds())
	if err := t.loaded(ctx, t.sizes.PerSecond); err != nil {
		return err
	}
	if err := thaw(ctx); err != nil {
		return err
	}
	t.over(ctx)
	if err := shared(ctx, 2); err != nil {
		return err
	}
	return t.reach(ctx, ids, delivered)
}
