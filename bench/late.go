package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"eventshop.example/bench/latency"
	"eventshop.example/bench/measure"
	"eventshop.example/bench/report"
	"eventshop.example/bench/shop"
)

// parts is the side of the sum of what an order waits for, each part measured by itself.
const parts = "sum of parts"

// late measures accepted → CONFIRMED at 12 orders per second, and compares the median with the sum of
// its parts and with the request itself, which is the machine's own yardstick.
func late(ctx context.Context, e *env, r *report.Result) error {
	programs, err := e.shops(ctx)
	if err != nil {
		return err
	}
	r.Sides = []string{report.Ours, parts}
	var text strings.Builder
	err = e.turns(ctx, r, programs[:1], func(s *shop.Stack, side string) error {
		if err := s.Stock(ctx); err != nil {
			return err
		}
		text.Reset()
		if err := e.latencyOf(ctx, r, s, &text); err != nil {
			return err
		}
		// Before the parts, which place charges and bookings of their own.
		if err := e.verified(ctx, r, s, side); err != nil {
			return err
		}
		if err := e.partsOf(ctx, r, s); err != nil {
			return fmt.Errorf("measure the parts: %w", err)
		}
		return nil
	})
	r.Row(confirmedRow, "ms", report.Time).Aim("≤ 1.5 of the parts")
	r.Row(yardstickRow, "×", report.Count).Aim("≤ 5")
	r.Note("the last round, hop by hop:\n%s", text.String())
	return err
}

const (
	confirmedRow = "accepted → CONFIRMED p50"
	yardstickRow = "accepted → CONFIRMED p50 / POST p50"
)

func (e *env) latencyOf(ctx context.Context, r *report.Result, s *shop.Stack, text io.Writer) error {
	n := e.size(100, 500)
	m, err := latency.Measure(ctx, s, latency.Config{Orders: n, Warmup: 50, Clients: clients, PerSecond: 12, Timeout: time.Minute},
		func(done int) { e.progress.Note("%d orders confirmed", done) })
	if err != nil {
		return err
	}
	m.Report(text)
	confirmed, posts := m.Confirmed(), m.Posts()
	r.Row(confirmedRow, "ms", report.Time).Add(report.Ours, measure.Quantile(confirmed, .5))
	r.Row("accepted → CONFIRMED p99", "ms", report.Time).Add(report.Ours, measure.Quantile(confirmed, .99))
	r.Row("POST p50", "ms", report.Time).Add(report.Ours, measure.Quantile(posts, .5))
	r.Row("POST p99", "ms", report.Time).Add(report.Ours, measure.Quantile(posts, .99))
	r.Row(yardstickRow, "×", report.Count).Add(report.Ours, measure.Quantile(confirmed, .5)/measure.Quantile(posts, .5))
	return nil
}

// partsOf measures what an order waits for between its acceptance and its confirmation: five records
// from producer to consumer, four commits, a charge and a booking.
func (e *env) partsOf(ctx context.Context, r *report.Result, s *shop.Stack) error {
	e.progress.Step("latency: its parts")
	hop, err := hops(ctx, s)
	if err != nil {
		return err
	}
	commit, err := commits(ctx, s)
	if err != nil {
		return err
	}
	charge, booking, err := outside(ctx, s)
	if err != nil {
		return err
	}
	r.Row("  produce → receive p50", "ms, 5 ×", report.Time).Add(parts, hop)
	r.Row("  one row committed p50", "ms, 4 ×", report.Time).Add(parts, commit)
	r.Row("  charge p50", "ms", report.Time).Add(parts, charge)
	r.Row("  booking p50", "ms", report.Time).Add(parts, booking)
	r.Row(confirmedRow, "ms", report.Time).Add(parts, 5*hop+4*commit+charge+booking)
	return nil
}
