package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"eventshop.example/bench/measure"
	"eventshop.example/bench/parked"
	"eventshop.example/bench/relays"
	"eventshop.example/bench/report"
	"eventshop.example/pkg/consumer"
)

// clean is the side of the same records without failures.
const clean = "no failures"

// failing measures what keeping order costs while records fail.
func failing(ctx context.Context, e *env, r *report.Result) (err error) {
	b, err := parked.New(ctx, filepath.Join(e.dir, "parked"), parked.Config{
		Records: e.size(2_000, 10_000), Keys: 100, Once: 0.05, Always: 0.005,
		Retry: consumer.Retry{Attempts: 3, Backoff: consumer.Backoff{Base: 10 * time.Millisecond}},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	r.Sides = []string{report.Ours, clean}
	for round := range e.rounds {
		for _, side := range measure.Turns(round, r.Sides) {
			e.progress.Step("parked, round %d of %d, %s", round+1, e.rounds, side)
			run, err := b.Run(ctx, side == report.Ours)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, side, err)
			}
			r.Row("records", "records/s", report.Rate).Add(side, run.Throughput())
			for _, outcome := range []struct {
				name string
				n    int
			}{
				{"applied", run.Applied}, {"dead letters", run.Dead}, {"parked behind them", run.Behind},
				{"retry records", run.Retries}, {"lost", run.Lost}, {"out of order", run.Disorder},
			} {
				r.Row(outcome.name, "records", report.Count).Add(side, float64(outcome.n))
			}
		}
	}
	r.Note("the database is durable; before, this benchmark ran without fsync, and its records/s were higher")
	return nil
}

// both compares the polling relay with Debezium.
func both(ctx context.Context, e *env, r *report.Result) error {
	return relays.Measure(ctx, relays.Config{
		Backlog: e.size(20_000, 200_000), Rounds: e.rounds, Rate: 200, During: time.Duration(e.size(10, 30)) * time.Second,
	}, r, e.progress)
}

// The libraries that codecs compares.
const (
	twmb  = "twmb/avro"
	hamba = "hamba/avro"
)

// codecs runs the benchmarks of bench/codec. They are tests, so that no program links the codec that
// was used before.
func codecs(ctx context.Context, e *env, r *report.Result) error {
	r.Sides = []string{report.Ours, twmb, hamba}
	for round := range e.rounds {
		e.progress.Step("codec, round %d of %d", round+1, e.rounds)
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", ".", "-benchmem", "./bench/codec")
		cmd.Dir, cmd.Env = e.repo, append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("go test: %w\n%s", err, out)
		}
		if err := addCodecs(r, string(out)); err != nil {
			return err
		}
	}
	return nil
}

// addCodecs reads lines such as
//
//	BenchmarkEncode/OrderCreated/twmb-2  1000000  1100 ns/op  512 B/op  3 allocs/op
func addCodecs(r *report.Result, output string) error {
	sides := map[string]string{"schema": report.Ours, "twmb": twmb, "hamba": hamba}
	found := false
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) < 8 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.Split(strings.TrimPrefix(fields[0], "Benchmark"), "/")
		if len(name) != 3 {
			continue
		}
		codec, _, _ := strings.Cut(name[2], "-")
		what := strings.ToLower(name[0]) + " " + name[1]
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("read %q: %w", line, err)
			}
			kind, unit := report.Count, strings.TrimSuffix(fields[i+1], "/op")
			if unit == "ns" {
				kind = report.Time
			}
			r.Row(what+", "+unit, "per event", kind).Add(sides[codec], value)
			found = true
		}
	}
	if !found {
		return errors.New("go test printed no benchmark")
	}
	return nil
}
