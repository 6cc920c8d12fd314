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

// fillingRow names the row of a figure of a projection's filling.
func fillingRow(projection, what string) string { return "  " + projection + ": " + what }

// rebuilding measures how fast the projection service fills its read models from the beginning of the
// topics. The limit consumes and decodes the same records, and then copies the rows of the filled tables to
// empty ones and builds their indexes; the two rates are combined harmonically.
func rebuilding(ctx context.Context, e *env, r *report.Result) error {
	r.Sides = []string{report.Ours, limit, oneByOne}
	return e.filling(ctx, e.size(20_000, 1_000_000), func(b *rebuild.Bench, topics *rebuild.Topics) (err error) {
		// So many that orders are paid in it.
		sample, err := rebuild.Fill(ctx, b.In, e.size(2*rebuild.Open, 5_000), func(int) {})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sample.Close(ctx)) }()
		for round := range e.rounds {
			if err := e.rebuildOnce(ctx, r, b, topics, sample, round); err != nil {
				return fmt.Errorf("round %d: %w", round+1, err)
			}
		}
		return nil
	})
}

// filling starts what fillings need, and publishes n events.
func (e *env) filling(ctx context.Context, n int, do func(*rebuild.Bench, *rebuild.Topics) error) (err error) {
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
	topics, err := rebuild.Fill(ctx, in, n, func(n int) { e.progress.Note("%d events published", n) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, topics.Close(ctx)) }()
	return do(b, topics)
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
		r.Row(fillingRow(v.Projection, statementsRow), "per 1,000 events", report.Count).Add(report.Ours, float64(f.Usage.Statements[f.Name])/per)
		r.Row(fillingRow(v.Projection, writesRow), "per 1,000 events", report.Count).Add(report.Ours, float64(f.Usage.Writes)/per)
		r.Row(fillingRow(v.Projection, walRow), "kB per event", report.Count).Add(report.Ours, float64(f.Usage.WAL)/1000/float64(topics.Events))
		for name, spent := range f.Usage.CPU {
			r.Row(fillingRow(v.Projection, "processor time, "+name), "s per 1,000 events", report.Time).Add(report.Ours, spent.Seconds()/per)
		}
		r.Row(fillingRow(v.Projection, "most memory of the service"), "MB", report.Time).Add(report.Ours, float64(f.Memory)/1e6)
		step("copying the rows of " + v.Schema())
		took, err = f.Copy(ctx, v, e.dir)
		if err := errors.Join(err, f.Close(ctx)); err != nil {
			return err
		}
		written := float64(topics.Events) / took.Seconds()
		r.Row(fillingRow(v.Projection, "consuming and decoding alone"), "events/s", report.Rate).Add(limit, consumed)
		r.Row(fillingRow(v.Projection, "COPY and indexes alone"), "events/s", report.Rate).Add(limit, written)
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
