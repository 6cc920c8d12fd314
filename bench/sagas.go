package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eventshop.example/bench/measure"
	"eventshop.example/bench/report"
	"eventshop.example/bench/shop"
)

// sagas measures whole orders, each of two items, that are placed as fast as the shop accepts them.
// The rate counts from the first request until the last order is CONFIRMED. The cost is that of all
// processes but this one until the last order is DELIVERED.
func sagas(ctx context.Context, e *env, r *report.Result) error {
	programs, err := e.shops(ctx)
	if err != nil {
		return err
	}
	sides(r, programs)
	r.Sides = append(r.Sides, script)
	load := shop.Load{Orders: e.size(600, 3000), Clients: clients}
	return e.turns(ctx, r, programs, func(s *shop.Stack, side string) error {
		u, err := e.cost(ctx, r, s, side, load)
		if err != nil {
			return err
		}
		if err := e.verified(ctx, r, s, side); err != nil || side != report.Ours {
			return err
		}
		// The same rows written by a script, once the shop is down: what their log costs at least.
		e.progress.Step("the same rows by a script")
		if err := s.Halt(ctx); err != nil {
			return err
		}
		wal, err := writeAgain(ctx, s.Server, u.orders+warmup)
		if err != nil {
			return fmt.Errorf("write the same rows by a script: %w", err)
		}
		r.Find(walRow).Add(script, float64(wal)/float64(u.orders+warmup)/1000)
		return nil
	})
}

// low measures whole orders at 12 per second, a fifth of the 60 that the shop of commit 92acbca
// sustained on two cores. The rate is fixed, so that the share of what polls by the clock is the
// same in all runs.
func low(ctx context.Context, e *env, r *report.Result) error {
	programs, err := e.shops(ctx)
	if err != nil {
		return err
	}
	sides(r, programs)
	const perSecond = 12
	load := shop.Load{Orders: perSecond * 20, Clients: clients, PerSecond: perSecond}
	return e.turns(ctx, r, programs, func(s *shop.Stack, side string) error {
		if _, err := e.cost(ctx, r, s, side, load); err != nil {
			return err
		}
		return e.verified(ctx, r, s, side)
	})
}

func sides(r *report.Result, programs []*shop.Program) {
	r.Sides = nil
	for _, p := range programs {
		r.Sides = append(r.Sides, p.Name)
	}
}

// turns runs each program in turns, each time on empty databases.
func (e *env) turns(ctx context.Context, r *report.Result, programs []*shop.Program, run func(s *shop.Stack, side string) error) error {
	for round := range e.rounds {
		for _, p := range measure.Turns(round, programs) {
			e.progress.Step("%s, round %d of %d, %s: starting a shop", r.Name, round+1, e.rounds, p.Name)
			s, err := p.Up(ctx)
			if err != nil {
				return err
			}
			e.progress.Step("%s, round %d of %d, %s", r.Name, round+1, e.rounds, p.Name)
			if err := errors.Join(run(s, p.Name), s.Down(ctx)); err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, p.Name, err)
			}
		}
	}
	return nil
}

// used is what a load cost.
type used struct {
	orders int
	placed shop.Accepted
	late   []time.Duration
	posts  []time.Duration
}

// cost places a load after a warm-up, waits until all is delivered, and adds rows about it.
func (e *env) cost(ctx context.Context, r *report.Result, s *shop.Stack, side string, load shop.Load) (used, error) {
	u := used{orders: load.Orders}
	if err := s.Stock(ctx); err != nil {
		return u, err
	}
	f, err := s.Follow(ctx)
	if err != nil {
		return u, err
	}
	defer f.Close()
	if err := e.warm(ctx, s, f); err != nil {
		return u, err
	}
	m, err := e.meter(ctx, s, f, load)
	if err != nil {
		return u, err
	}
	u.placed = m.placed
	u.late = f.Latencies(u.placed.Orders)
	for _, o := range u.placed.Orders {
		u.posts = append(u.posts, o.Accepted.Sub(o.Sent))
	}
	r.Row("confirmed", "orders/s", report.Rate).Add(side, m.perSecond)
	r.Row("offered", "orders/s", report.Rate).Add(side, float64(load.Orders)/u.placed.Took.Seconds())
	r.Row("accepted → CONFIRMED p50", "ms", report.Time).Add(side, measure.Quantile(u.late, .5))
	r.Row("accepted → CONFIRMED p99", "ms", report.Time).Add(side, measure.Quantile(u.late, .99))
	r.Row("POST p50", "ms", report.Time).Add(side, measure.Quantile(u.posts, .5))
	if u.placed.Refused > 0 || r.Find("refused") != nil {
		r.Row("refused", "answers per saga", report.Time).Add(side, float64(u.placed.Refused)/float64(load.Orders))
	}
	costs(r, side, "saga", m.usage, load.Orders)
	return u, nil
}

// verified checks the invariants. A breach withholds the rates and is no error: the counts are
// still worth reading.
func (e *env) verified(ctx context.Context, r *report.Result, s *shop.Stack, side string) error {
	e.progress.Step("%s: verifying", r.Name)
	if err := s.Verify(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.Withhold("verify found a breach in the shop of %s: %v", side, err)
	}
	return nil
}
