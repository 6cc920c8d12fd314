package main

import (
	"context"
	"errors"
	"fmt"

	"eventshop.example/bench/infra"
	"eventshop.example/bench/measure"
	"eventshop.example/bench/rebuild"
	"eventshop.example/bench/report"
	"eventshop.example/pkg/events"
)

// oneByOne is the side of a filling that has a transaction per record.
const oneByOne = "one by one"

// Names of rows of the filling under load.
const (
	readErrors  = "  reads without an answer"
	staleReads  = "  stale reads"
	differences = "  differences to the live version"
)

// rebuilding measures how fast the projection service fills its read models from the beginning of the
// topics. The limit consumes and decodes the same records, and then copies the rows of the filled tables to
// empty ones and builds their indexes; the two rates are combined harmonically.
func rebuilding(ctx context.Context, e *env, r *report.Result) (err error) {
	r.Sides = []string{report.Ours, limit, oneByOne}
	in, err := infra.Open(ctx, e.dir, events.Catalogue().Types()...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	e.progress.Step("rebuild, building the projection service")
	b := &rebuild.Bench{In: in}
	if b.Program, err = rebuild.Build(ctx, e.repo, e.dir, func(text string) { e.progress.Note("%s", text) }); err != nil {
		return err
	}
	e.progress.Step("rebuild, publishing histories")
	topics, err := rebuild.Fill(ctx, in, e.size(20_000, 1_000_000), func(n int) { e.progress.Note("%d events published", n) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, topics.Close(ctx)) }()
	sample, err := rebuild.Fill(ctx, in, e.size(1_000, 5_000), func(int) {})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sample.Close(ctx)) }()
	for round := range e.rounds {
		if err := e.rebuildOnce(ctx, r, b, topics, sample, round); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	if err := e.rebuildKilled(ctx, r, b, topics); err != nil {
		return fmt.Errorf("with a kill: %w", err)
	}
	return e.rebuildLive(ctx, r, b)
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
	r.Note("after a kill the next process waits for the end of the lease, up to 15 s")
	return nil
}

// rebuildLive fills a version while events are published and clients read.
func (e *env) rebuildLive(ctx context.Context, r *report.Result, b *rebuild.Bench) (err error) {
	e.progress.Step("rebuild under load, publishing histories")
	topics, err := rebuild.Fill(ctx, b.In, e.size(10_000, 200_000), func(n int) { e.progress.Note("%d events published", n) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, topics.Close(ctx)) }()
	l, err := b.Live(ctx, topics, func(what string) { e.progress.Step("rebuild under load, %s", what) })
	if err != nil {
		return fmt.Errorf("under load: %w", err)
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
		{readErrors, "reads", report.Count, float64(l.Errors)},
		{staleReads, "reads", report.Count, float64(l.Stale)},
		{"  rows compared", "rows", report.Time, float64(l.Compared)},
		{differences, "rows", report.Count, float64(l.Differences)},
	} {
		r.Row(row.what, row.unit, row.kind).Add(report.Ours, row.value)
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

func (e *env) rebuildOnce(ctx context.Context, r *report.Result, b *rebuild.Bench, topics, sample *rebuild.Topics, round int) error {
	step := func(what string) { e.progress.Step("rebuild, round %d of %d, %s", round+1, e.rounds, what) }
	for _, v := range measure.Turns(round, rebuild.Versions()) {
		row := r.Row(v.Schema(), "events/s", report.Rate)
		row.Aim("≥ 0.7 of the limit, ≥ 20 × one by one")
		step("consuming alone")
		took, err := topics.Consume(ctx)
		if err != nil {
			return err
		}
		consumed := float64(topics.Events) / took.Seconds()
		step("filling " + v.Schema())
		f, err := b.Fill(ctx, topics, v, 0)
		if err != nil {
			return err
		}
		per := float64(topics.Events) / 1000
		row.Add(report.Ours, float64(topics.Events)/f.Took.Seconds())
		r.Row("  "+v.Projection+": "+statementsRow, "per 1,000 events", report.Count).Add(report.Ours, float64(f.Usage.Statements[f.Name])/per)
		r.Row("  "+v.Projection+": "+writesRow, "per 1,000 events", report.Count).Add(report.Ours, float64(f.Usage.Writes)/per)
		r.Row("  "+v.Projection+": "+walRow, "kB per event", report.Count).Add(report.Ours, float64(f.Usage.WAL)/1000/float64(topics.Events))
		for name, spent := range f.Usage.CPU {
			r.Row("  "+v.Projection+": processor time, "+name, "s per 1,000 events", report.Time).Add(report.Ours, spent.Seconds()/per)
		}
		r.Row("  "+v.Projection+": most memory of the service", "MB", report.Time).Add(report.Ours, float64(f.Memory)/1e6)
		step("copying the rows of " + v.Schema())
		took, err = f.Copy(ctx, v, e.dir)
		if err := errors.Join(err, f.Close(ctx)); err != nil {
			return err
		}
		written := float64(topics.Events) / took.Seconds()
		r.Row("  "+v.Projection+": consuming and decoding alone", "events/s", report.Rate).Add(limit, consumed)
		r.Row("  "+v.Projection+": COPY and indexes alone", "events/s", report.Rate).Add(limit, written)
		row.Add(limit, measure.Harmonic(consumed, written))
		step("filling " + v.Schema() + " one by one")
		one, err := b.Fill(ctx, sample, v, 1)
		if err != nil {
			return err
		}
		row.Add(oneByOne, float64(sample.Events)/one.Took.Seconds())
		if err := one.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}
