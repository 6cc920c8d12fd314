package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"eventshop.example/bench/measure"
	"eventshop.example/bench/report"
	"eventshop.example/bench/shop"
	"eventshop.example/pkg/event"
)

// The sides of the benchmark: the styles of the orders' sagas.
const (
	orchestrated  = string(event.Orchestrated)
	choreographed = string(event.Choreographed)
)

// orchestratorProcess is the name of the process, and of its database.
const orchestratorProcess = "orchestrator"

// Names of rows that the limits refer to.
const (
	factsRow    = "  facts"
	commandsRow = "  commands"
	answersRow  = "  answers"
	recordsRow  = "records on the topics"
	bytesRow    = "bytes on the topics"
)

// idlePerSecond is a rate at which an order is delivered before the next one of its style comes, most of the
// time.
const idlePerSecond = 4

// styles compares orchestrated orders with choreographed ones in one shop, in turns: the same processes
// and databases coordinate both. The orchestrator runs in both, and what it does while it has no order
// is counted in both.
func styles(ctx context.Context, e *env, r *report.Result) error {
	s, f, err := e.upForStyles(ctx, r)
	if err != nil {
		return err
	}
	err = e.compareStyles(ctx, r, s, f)
	f.Close()
	return errors.Join(err, s.Down(ctx))
}

// upForStyles starts a shop that accepts orders of both styles, and warms it up.
func (e *env) upForStyles(ctx context.Context, r *report.Result) (*shop.Stack, *shop.Follower, error) {
	programs, err := e.shops(ctx)
	if err != nil {
		return nil, nil, err
	}
	r.Sides = []string{orchestrated, choreographed}
	e.progress.Step("%s: starting a shop", r.Name)
	s, err := programs[0].Up(ctx)
	if err != nil {
		return nil, nil, err
	}
	f, err := s.Follow(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, s.Down(ctx))
	}
	err = s.Stock(ctx)
	if err == nil {
		err = awaitBothStyles(ctx, s)
	}
	if err == nil {
		err = e.warm(ctx, s, f, inTurns()...)
	}
	if err != nil {
		f.Close()
		return nil, nil, errors.Join(err, s.Down(ctx))
	}
	return s, f, nil
}

// inTurns returns the styles of a mixed load.
func inTurns() []event.Style { return []event.Style{event.Choreographed, event.Orchestrated} }

// awaitBothStyles waits until the order service knows that every participant knows both styles.
func awaitBothStyles(ctx context.Context, s *shop.Stack) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var ramp struct {
			Ready  bool
			Reason string
		}
		body, err := get(ctx, s.URLs["order"]+"/sagas/style")
		if err == nil {
			err = json.Unmarshal(body, &ramp)
		}
		if err == nil && ramp.Ready {
			return nil
		}
		if waited := wait(ctx, 100*time.Millisecond); waited != nil {
			return fmt.Errorf("wait until orders may be orchestrated (%s): %w", ramp.Reason, errors.Join(waited, err))
		}
	}
}

func (e *env) compareStyles(ctx context.Context, r *report.Result, s *shop.Stack, f *shop.Follower) error {
	placed := map[string][]shop.Placed{}
	for round := range e.rounds {
		for _, style := range measure.Turns(round, r.Sides) {
			e.progress.Step("%s, round %d of %d, %s", r.Name, round+1, e.rounds, style)
			orders, err := e.saturateStyle(ctx, r, s, f, style)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, style, err)
			}
			placed[style] = append(placed[style], orders...)
		}
		if e.quick {
			continue // a gate has no use for times
		}
		e.progress.Step("%s, round %d of %d, idle", r.Name, round+1, e.rounds)
		orders, err := e.idleStyles(ctx, r, s, f)
		if err != nil {
			return fmt.Errorf("round %d, idle: %w", round+1, err)
		}
		for _, o := range orders {
			placed[string(o.Style)] = append(placed[string(o.Style)], o)
		}
	}
	memory, err := measure.MemoryOf(map[string]int{orchestratorProcess: s.PIDs[orchestratorProcess]})
	if err != nil {
		return err
	}
	r.Row("resident memory of the orchestrator", "MB", report.Time).Add(orchestrated, float64(memory[orchestratorProcess].All)/1e6)
	if err := addRecords(ctx, r, s, placed); err != nil {
		return fmt.Errorf("count the records: %w", err)
	}
	return e.verified(ctx, r, s, "both styles")
}

// saturateStyle measures orders of one style that are placed as fast as the shop accepts them.
func (e *env) saturateStyle(ctx context.Context, r *report.Result, s *shop.Stack, f *shop.Follower, style string) ([]shop.Placed, error) {
	load := shop.Load{Orders: e.size(200, 1500), Clients: clients, Styles: []event.Style{event.Style(style)}}
	m, err := e.meter(ctx, s, f, load)
	if err != nil {
		return nil, err
	}
	r.Row("saturated: confirmed", "orders/s", report.Rate).Add(style, m.perSecond)
	addSince(r, "saturated: POST → CONFIRMED", style, f, m.placed.Orders)
	costs(r, style, "order", m.usage, load.Orders)
	return m.placed.Orders, nil
}

// idleStyles places orders of both styles in turns, slowly, so that neither waits for others and both have
// the same machine.
func (e *env) idleStyles(ctx context.Context, r *report.Result, s *shop.Stack, f *shop.Follower) ([]shop.Placed, error) {
	placed, err := e.placeAndDeliver(ctx, s, f, shop.Load{Orders: 120, Clients: clients, PerSecond: idlePerSecond, Styles: inTurns()})
	if err != nil {
		return nil, err
	}
	for style, orders := range byStyle(placed.Orders) {
		addSince(r, "idle: POST → CONFIRMED", style, f, orders)
	}
	return placed.Orders, nil
}

// addSince adds the times from the request until the order's confirmation was on its topic.
func addSince(r *report.Result, what, style string, f *shop.Follower, orders []shop.Placed) {
	late := f.SinceSent(orders)
	r.Row(what+" p50", "ms", report.Time).Add(style, measure.Quantile(late, .5))
	r.Row(what+" p95", "ms", report.Time).Add(style, measure.Quantile(late, .95))
}

func byStyle(orders []shop.Placed) map[string][]shop.Placed {
	all := map[string][]shop.Placed{}
	for _, o := range orders {
		all[string(o.Style)] = append(all[string(o.Style)], o)
	}
	return all
}
