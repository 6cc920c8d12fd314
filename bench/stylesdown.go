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
	downBefore    = 10 * time.Second // of load until the process is killed
	downAfter     = 10 * time.Second // of load after it is ready again
)

// stylesDown kills the orchestrator, and then a participant, for a minute under a load of both styles in
// turns. It reports how many orders of each style waited at the end of the minute, and when the last of
// them was confirmed.
func stylesDown(ctx context.Context, e *env, r *report.Result) error {
	s, f, err := e.upForStyles(ctx, r)
	if err != nil {
		return err
	}
	for round := range e.rounds {
		for _, process := range measure.Turns(round, []string{orchestratorProcess, "inventory"}) {
			e.progress.Step("%s, round %d of %d: %s is down", r.Name, round+1, e.rounds, process)
			if err = e.downFor(ctx, r, s, f, process); err != nil {
				err = fmt.Errorf("round %d, %s is down: %w", round+1, process, err)
				break
			}
		}
	}
	if err == nil {
		err = e.verified(ctx, r, s, "both styles")
	}
	f.Close()
	return errors.Join(err, s.Down(ctx))
}

func (e *env) downFor(ctx context.Context, r *report.Result, s *shop.Stack, f *shop.Follower, process string) error {
	minute := time.Duration(e.size(15, 60)) * time.Second
	load := shop.Load{
		Orders:  int((downBefore + minute + downAfter).Seconds() * downPerSecond),
		Clients: clients, PerSecond: downPerSecond, Styles: inTurns(),
	}
	_, delivered := f.Counts()
	began := time.Now()
	var placed shop.Accepted
	var group errgroup.Group
	group.Go(func() (err error) {
		placed, err = s.Place(ctx, load, func(n int) { e.progress.Note("%d of %d orders accepted", n, load.Orders) })
		return err
	})
	away, err := outage(ctx, s, process, minute, e.progress.Note)
	if err := errors.Join(err, group.Wait()); err != nil {
		return err
	}
	err = f.AwaitDelivered(ctx, delivered+load.Orders, func(_, n int) { e.progress.Note("%d of %d orders delivered", n-delivered, load.Orders) })
	if err != nil {
		return err
	}
	for style, orders := range byStyle(placed.Orders) {
		addOutage(r, process+" down: ", style, f, orders, away)
	}
	r.Note("%s: %d orders at %d per second in %.0f s", process, load.Orders, downPerSecond, time.Since(began).Seconds())
	return nil
}

// away is when a process was away.
type away struct{ killed, started, ready time.Time }

// outage kills a process once the load runs, and starts it again.
func outage(ctx context.Context, s *shop.Stack, process string, during time.Duration, note func(string, ...any)) (a away, err error) {
	if err := wait(ctx, downBefore); err != nil {
		return a, err
	}
	if err := s.Kill(ctx, process); err != nil {
		return a, err
	}
	a.killed = time.Now()
	note("%s is down", process)
	if err := wait(ctx, during); err != nil {
		return a, err
	}
	a.started = time.Now()
	err = s.Start(ctx, process)
	a.ready = time.Now()
	return a, err
}

// addOutage adds rows about the orders of one style, all of which are confirmed.
func addOutage(r *report.Result, about, style string, f *shop.Follower, orders []shop.Placed, a away) {
	var accepted, went, waited float64
	var posts []time.Duration
	last := a.ready
	for _, o := range orders {
		posts = append(posts, o.Accepted.Sub(o.Sent))
		if o.Accepted.After(a.started) {
			continue
		}
		at := f.ConfirmedAt(o.ID)
		meanwhile := o.Accepted.After(a.killed)
		if meanwhile {
			accepted++
		}
		switch {
		case at.After(a.started):
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
	r.Row(about+"waited when it was started again", "orders", report.Count).Add(style, waited)
	r.Row(about+"last of them confirmed after it was ready", "s", report.Time).Add(style, last.Sub(a.ready).Seconds())
	r.Row(about+"POST p95", "ms", report.Time).Add(style, measure.Quantile(posts, .95))
}
