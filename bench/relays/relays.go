// Package relays compares the two relays of an outbox: polling, and Debezium in Kafka Connect. Each
// gets the same backlog, and then the same events one by one at a steady rate. The two take turns.
//
// It starts Apache Kafka, Kafka Connect and PostgreSQL in a temporary folder. The service with its
// relay is a separate process: the program that calls [Measure] must call [Serve] when its first
// argument is [AsService]. The comparison needs Java 17, Maven for the first download, PostgreSQL's
// server binaries, and Linux for the processor times. It fails if an event is lost or a key's events
// arrive out of order. It does not judge the figures.
package relays

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eventshop.example/bench/measure"
	"eventshop.example/bench/report"
	"eventshop.example/pkg/outbox/capture"
)

// Config is what is compared.
type Config struct {
	Backlog int // events in the outbox before the relay starts
	Rounds  int
	Rate    float64       // events per second, one per transaction
	During  time.Duration // how long events come at that rate
}

const (
	// warmupBacklog lets the Java programs compile their hot code.
	warmupBacklog = 20_000
	warmupFor     = 5 * time.Second
	// tooLong ends a run that makes no progress.
	tooLong = 15 * time.Minute
)

// Debezium is the peer's name; the polling relay is [report.Ours].
const Debezium = "Debezium"

// Measure adds rows about both relays to r.
func Measure(ctx context.Context, cfg Config, r *report.Result, progress *report.Progress) error {
	r.Sides = []string{report.Ours, Debezium}
	b, err := newBench(ctx, func(what string) { progress.Step("relays: %s", what) })
	if err != nil {
		return err
	}
	return errors.Join(b.measure(ctx, cfg, r, progress), b.close())
}

// turns calls do for Polling and Debezium alternately.
func turns(rounds int, do func(round int, mode capture.Mode) error) error {
	for i := range rounds {
		for _, mode := range measure.Turns(i, []capture.Mode{capture.Polling, capture.Debezium}) {
			if err := do(i+1, mode); err != nil {
				return fmt.Errorf("round %d, %s: %w", i+1, mode, err)
			}
		}
	}
	return nil
}

func side(mode capture.Mode) string {
	if mode == capture.Debezium {
		return Debezium
	}
	return report.Ours
}

func (b *bench) measure(ctx context.Context, cfg Config, r *report.Result, progress *report.Progress) error {
	progress.Step("relays: warming up with %d events", warmupBacklog)
	err := turns(1, func(_ int, mode capture.Mode) error {
		_, err := within(ctx, func(ctx context.Context) (drain, error) { return b.backlog(ctx, mode, warmupBacklog) })
		return err
	})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("backlog of %d", cfg.Backlog)
	err = turns(cfg.Rounds, func(round int, mode capture.Mode) error {
		progress.Step("relays, round %d of %d: a backlog, %s", round, cfg.Rounds, mode)
		d, err := within(ctx, func(ctx context.Context) (drain, error) { return b.backlog(ctx, mode, cfg.Backlog) })
		if err != nil {
			return err
		}
		r.Row(name, "events/s", report.Rate).Add(side(mode), d.rate())
		r.Row("  start of the relay → all marked", "s", report.Time).Add(side(mode), d.done.Seconds())
		addCosts(r, "  ", side(mode), d.costs)
		r.Row("  repeated", "events", report.Time).Add(side(mode), float64(d.repeated))
		return nil
	})
	if err != nil {
		return err
	}
	n := int(cfg.Rate * cfg.During.Seconds())
	return turns(cfg.Rounds, func(round int, mode capture.Mode) error {
		progress.Step("relays, round %d of %d: %.0f events/s, %s", round, cfg.Rounds, cfg.Rate, mode)
		p, err := within(ctx, func(ctx context.Context) (pace, error) {
			return b.paced(ctx, mode, int(cfg.Rate*warmupFor.Seconds()), n, cfg.Rate)
		})
		if err != nil {
			return err
		}
		at := fmt.Sprintf("%.0f events/s for %s", cfg.Rate, cfg.During)
		r.Row(at+": commit → consumer p50", "ms", report.Time).Add(side(mode), measure.Quantile(p.late, .5))
		r.Row(at+": commit → consumer p99", "ms", report.Time).Add(side(mode), measure.Quantile(p.late, .99))
		addCosts(r, at+": ", side(mode), p.costs)
		return nil
	})
}

func addCosts(r *report.Result, prefix, side string, c costs) {
	r.Row(prefix+"processor time", "s", report.Time).Add(side, c.sum().Seconds())
	for _, part := range []struct {
		name string
		time time.Duration
	}{{"the service", c.service}, {"Connect", c.connect}, {"Kafka", c.kafka}, {"PostgreSQL", c.postgres}} {
		r.Row(prefix+"  of it "+part.name, "s", report.Time).Add(side, part.time.Seconds())
	}
}

func within[T any](ctx context.Context, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, tooLong)
	defer cancel()
	return do(ctx)
}
