package main

import (
	"context"
	"fmt"

	"eventshop.example/bench/measure"
	"eventshop.example/bench/rebuild"
	"eventshop.example/bench/report"
)

// rebuildingLive fills a version whose process is killed in the middle, and then one while events are
// published and clients read. A read without an answer, a stale one, a difference, and a committed record that
// is read again withhold the result.
func rebuildingLive(ctx context.Context, e *env, r *report.Result) error {
	r.Sides = []string{report.Ours}
	return e.filling(ctx, e.size(10_000, 200_000), func(b *rebuild.Bench, topics *rebuild.Topics) error {
		for range e.rounds {
			if err := e.rebuildKilled(ctx, r, b, topics); err != nil {
				return fmt.Errorf("with a kill: %w", err)
			}
			if err := e.rebuildLive(ctx, r, b, topics); err != nil {
				return fmt.Errorf("under load: %w", err)
			}
		}
		return nil
	})
}

// rebuildKilled kills the process when half of a filling is done.
func (e *env) rebuildKilled(ctx context.Context, r *report.Result, b *rebuild.Bench, topics *rebuild.Topics) error {
	v := rebuild.Versions()[0]
	e.progress.Step("rebuild, the process is killed while it fills %s", v.Schema())
	k, err := b.Kill(ctx, topics, v)
	if err != nil {
		return err
	}
	r.Row("kill -9 at half: records committed", "records", report.Count).Add(report.Ours, float64(k.Committed))
	r.Row("  committed records that were read again", "records", report.Count).Add(report.Ours, float64(k.Again))
	r.Row("  kill → the next process is ready", "s", report.Time).Add(report.Ours, k.Start.Seconds())
	r.Row("  kill → all is filled", "s", report.Time).Add(report.Ours, k.Took.Seconds())
	if k.Again > 0 {
		r.Withhold("%d committed records were read again after a kill", k.Again)
	}
	r.Note("after a kill the next process waits for the end of the lease, up to 15 s")
	return nil
}

// rebuildLive fills a version while events are published and clients read.
func (e *env) rebuildLive(ctx context.Context, r *report.Result, b *rebuild.Bench, topics *rebuild.Topics) error {
	l, err := b.Live(ctx, topics, func(what string) { e.progress.Step("rebuild under load, %s", what) })
	if err != nil {
		return err
	}
	for _, row := range []struct {
		what, unit string
		kind       report.Kind
		value      float64
	}{
		{"under load: filled within", "s", report.Time, l.Filled.Seconds()},
		{"  events published meanwhile", "events", report.Time, float64(l.Published)},
		{"  compared and switched within", "s", report.Time, l.Switched.Seconds()},
		{"  oldest event that was not applied, before the switch", "ms", report.Time, measure.Milliseconds(l.Lag)},
		{"  reads", "reads", report.Time, float64(l.Reads)},
		{"  longest read", "ms", report.Time, measure.Milliseconds(l.Longest)},
		{"  reads without an answer", "reads", report.Count, float64(l.Errors)},
		{"  stale reads", "reads", report.Count, float64(l.Stale)},
		{"  rows compared", "rows", report.Time, float64(l.Compared)},
		{"  differences to the live version", "rows", report.Count, float64(l.Differences)},
	} {
		r.Row(row.what, row.unit, row.kind).Add(report.Ours, row.value)
	}
	if l.First != nil {
		r.Note("the first read without an answer: %v", l.First)
	}
	for _, wrong := range []struct {
		what string
		n    int64
	}{{"reads failed", l.Errors}, {"reads were stale", l.Stale}, {"rows differed", l.Differences}} {
		if wrong.n > 0 {
			r.Withhold("%d %s", wrong.n, wrong.what)
		}
	}
	return nil
}
