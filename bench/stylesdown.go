package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"eventshop.example/bench/measure"
	"eventshop.example/bench/report"
	"eventshop.example/bench/shop"
)

const (
	downPerSecond = 8                // orders of both styles together: both are far from saturated
	downBefore    = 10 * time.Second // of load until the outage begins
	downAfter     = 10 * time.Second // of load after its end
)

// outage is something that is away for a minute. begin takes it away; end brings it back and returns
// when the service is ready.
type outage struct {
	name       string
	begin, end func(ctx context.Context) error
}

func outages(s *shop.Stack) []outage {
	killed := func(process string) outage {
		return outage{
			process + " is killed",
			func(ctx context.Context) error { return s.Kill(ctx, process) },
			func(ctx context.Context) error { return s.Start(ctx, process) },
		}
	}
	return []outage{
		killed(orchestratorProcess),
		{
			"the orchestrator's database is away",
			func(ctx context.Context) error { return s.Server.Shut(ctx, orchestratorProcess) },
			func(ctx context.Context) error {
				if err := s.Server.Reopen(ctx, orchestratorProcess); err != nil {
					return err
				}
				return awaitReady(ctx, s.URLs[orchestratorProcess])
			},
		},
		killed("inventory"),
	}
}

// stylesDown places orders of both styles in turns, and takes the orchestrator, its database, and a
// participant away for a minute each. It reports how many orders of each style waited at the end of the
// minute, and when the last of them was confirmed.
func stylesDown(ctx context.Context, e *env, r *report.Result) error {
	s, f, err := e.upForStyles(ctx, r)
	if err != nil {
		return err
	}
	err = e.takeAway(ctx, r, s, f)
	if err == nil {
		err = e.verified(ctx, r, s, "both styles")
	}
	f.Close()
	return errors.Join(err, s.Down(ctx))
}

func (e *env) takeAway(ctx context.Context, r *report.Result, s *shop.Stack, f *shop.Follower) error {
	for round := range e.rounds {
		for _, o := range measure.Turns(round, outages(s)) {
			e.progress.Step("%s, round %d of %d: %s", r.Name, round+1, e.rounds, o.name)
			if err := e.acrossOutage(ctx, r, s, f, o); err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, o.name, err)
			}
		}
	}
	return nil
}

// acrossOutage places orders before, during and after an outage, and waits until all are delivered.
func (e *env) acrossOutage(ctx context.Context, r *report.Result, s *shop.Stack, f *shop.Follower, o outage) error {
	lasts := time.Duration(e.size(15, 60)) * time.Second
	load := shop.Load{
		Orders:  int((downBefore + lasts + downAfter).Seconds() * downPerSecond),
		Clients: clients, PerSecond: downPerSecond, Styles: inTurns(),
	}
	_, delivered := f.Counts()
	var placed shop.Accepted
	var group errgroup.Group
	group.Go(func() (err error) {
		placed, err = s.Place(ctx, load, func(n int) { e.progress.Note("%d of %d orders accepted", n, load.Orders) })
		return err
	})
	a, err := o.play(ctx, lasts)
	if err := errors.Join(err, group.Wait()); err != nil {
		return err
	}
	err = f.AwaitDelivered(ctx, delivered+load.Orders, func(_, n int) { e.progress.Note("%d of %d orders delivered", n-delivered, load.Orders) })
	if err != nil {
		return err
	}
	for style, orders := range byStyle(placed.Orders) {
		addOutage(r, o.name+": ", style, f.ConfirmedAt, orders, a)
	}
	return nil
}

// away is when something was away.
type away struct{ from, until, ready time.Time }

func (o outage) play(ctx context.Context, lasts time.Duration) (a away, err error) {
	if err := wait(ctx, downBefore); err != nil {
		return a, err
	}
	if err := o.begin(ctx); err != nil {
		return a, err
	}
	a.from = time.Now()
	if err := wait(ctx, lasts); err != nil {
		return a, err
	}
	a.until = time.Now()
	err = o.end(ctx)
	a.ready = time.Now()
	return a, err
}

// addOutage adds rows about the orders of one style, all of which are confirmed.
func addOutage(r *report.Result, about, style string, confirmedAt func(id string) time.Time, orders []shop.Placed, a away) {
	var accepted, went, waited float64
	var posts []time.Duration
	last := a.ready
	for _, o := range orders {
		if o.Accepted.After(a.until) {
			continue
		}
		at, meanwhile := confirmedAt(o.ID), o.Accepted.After(a.from)
		if meanwhile {
			accepted++
			posts = append(posts, o.Accepted.Sub(o.Sent))
		}
		switch {
		case at.After(a.until):
			waited++
			if at.After(last) {
				last = at
			}
		case meanwhile:
			went++
		}
	}
	r.Row(about+"accepted meanwhile", "orders", report.Count).Add(style, accepted)
	r.Row(about+"confirmed of these meanwhile", "orders", report.Count).Add(style, went)
	r.Row(about+"waited at the end", "orders", report.Count).Add(style, waited)
	r.Row(about+"last of them confirmed after the service was ready", "s", report.Time).Add(style, last.Sub(a.ready).Seconds())
	r.Row(about+"POST p95 meanwhile", "ms", report.Time).Add(style, measure.Quantile(posts, .95))
}

// awaitReady waits until a service is ready.
func awaitReady(ctx context.Context, service string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		_, err := get(ctx, service+"/readyz")
		if err == nil {
			return nil
		}
		if waited := wait(ctx, 50*time.Millisecond); waited != nil {
			return fmt.Errorf("wait until %s is ready: %w", service, errors.Join(waited, err))
		}
	}
}
