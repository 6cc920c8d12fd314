package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"eventshop.example/bench/infra"
	"eventshop.example/bench/measure"
	"eventshop.example/bench/report"
	"eventshop.example/bench/shop"
	"eventshop.example/ops/eventshop"
)

// sustainedShare of the saturated rate is offered.
const sustainedShare = 0.7

// sampleEvery is how often the backlog is noted.
const sampleEvery = time.Second

// sustained finds the saturated rate, and then offers 70 % of it for ten minutes. A backlog that
// grows shows in its thirds; memory that grows shows against the shop at rest.
func sustained(ctx context.Context, e *env, r *report.Result) error {
	programs, err := e.shops(ctx)
	if err != nil {
		return err
	}
	sides(r, programs)
	return e.turns(ctx, r, programs, func(s *shop.Stack, side string) error {
		if err := e.sustain(ctx, r, s, side); err != nil {
			return err
		}
		return e.verified(ctx, r, s, side)
	})
}

func (e *env) sustain(ctx context.Context, r *report.Result, s *shop.Stack, side string) error {
	if err := s.Stock(ctx); err != nil {
		return err
	}
	f, err := s.Follow(ctx)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := e.warm(ctx, s, f); err != nil {
		return err
	}
	saturated, placed, err := e.saturate(ctx, s, f)
	if err != nil {
		return err
	}
	before, err := health(ctx, s)
	if err != nil {
		return err
	}
	rate := saturated * sustainedShare
	n := int(rate * e.during.Seconds())
	var backlog []int
	var accepted shop.Accepted
	var group errgroup.Group
	over := make(chan struct{})
	var now int
	notes := make(chan int, 1)
	group.Go(func() error {
		defer close(over)
		var err error
		accepted, err = s.Place(ctx, shop.Load{Orders: n, Clients: 64, PerSecond: rate}, func(n int) {
			select {
			case <-notes:
			default:
			}
			notes <- n
		})
		return err
	})
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
sampling:
	for {
		select {
		case now = <-notes:
		case <-tick.C:
			confirmed, _ := f.Counts()
			backlog = append(backlog, now+placed-confirmed)
			e.progress.Note("%d of %d orders accepted, %d wait to be confirmed", now, n, backlog[len(backlog)-1])
		case <-over:
			break sampling
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	err = f.AwaitDelivered(ctx, placed+n, func(_, delivered int) { e.progress.Note("%d of %d delivered", delivered-placed, n) })
	if err != nil {
		return err
	}
	after, err := health(ctx, s)
	if err != nil {
		return err
	}
	late := f.Latencies(accepted.Orders)
	r.Row("saturated", "orders/s", report.Rate).Add(side, saturated)
	r.Row("offered", "orders/s", report.Rate).Add(side, float64(n)/accepted.Took.Seconds())
	r.Row("accepted → CONFIRMED p50", "ms", report.Time).Add(side, measure.Quantile(late, .5))
	r.Row("accepted → CONFIRMED p99", "ms", report.Time).Add(side, measure.Quantile(late, .99)).Aim("< 2000")
	for i, third := range []string{"first", "second", "last"} {
		r.Row("backlog in the "+third+" third", "orders", report.Time).Add(side, mean(backlog, i))
	}
	addHealth(r, side, before, after)
	return nil
}

// saturate places orders as fast as they are accepted, and returns how many per second were
// confirmed, and how many orders there are by then. All of them are delivered.
func (e *env) saturate(ctx context.Context, s *shop.Stack, f *shop.Follower) (perSecond float64, orders int, err error) {
	n := e.size(600, 2000)
	began := time.Now()
	if _, err := s.Place(ctx, shop.Load{Orders: n, Clients: clients}, func(n int) { e.progress.Note("saturating, %d orders accepted", n) }); err != nil {
		return 0, 0, err
	}
	if err := f.AwaitConfirmed(ctx, warmup+n, func(c, _ int) { e.progress.Note("saturating, %d orders confirmed", c-warmup) }); err != nil {
		return 0, 0, err
	}
	perSecond = float64(n) / time.Since(began).Seconds()
	if err := f.AwaitDelivered(ctx, warmup+n, func(_, d int) { e.progress.Note("saturating, %d orders delivered", d-warmup) }); err != nil {
		return 0, 0, err
	}
	return perSecond, warmup + n, infra.Wait(ctx, 5*time.Second) // at rest
}

// mean returns the mean of a third of the values.
func mean(values []int, third int) float64 {
	part := values[len(values)*third/3 : len(values)*(third+1)/3]
	sum := 0
	for _, v := range part {
		sum += v
	}
	return float64(sum) / float64(max(len(part), 1))
}

// vitals are a service's memory and goroutines at one moment.
type vitals struct {
	memory     measure.Memory
	goroutines float64
}

func health(ctx context.Context, s *shop.Stack) (map[string]vitals, error) {
	memory, err := measure.MemoryOf(s.PIDs)
	if err != nil {
		return nil, err
	}
	all := map[string]vitals{}
	for _, name := range eventshop.Services() {
		n, err := goroutines(ctx, s.URLs[name]+"/metrics")
		if err != nil {
			return nil, fmt.Errorf("goroutines of %s: %w", name, err)
		}
		all[name] = vitals{memory[name], n}
	}
	return all, nil
}

func addHealth(r *report.Result, side string, before, after map[string]vitals) {
	for _, name := range eventshop.Services() {
		grown := float64(after[name].memory.All-before[name].memory.All) / 1e6
		r.Row("memory of "+name, "MB", report.Time).Add(side, float64(after[name].memory.All)/1e6)
		r.Row("memory of "+name+" since rest", "MB", report.Time).Add(side, grown).Aim("≤ 15")
		r.Row("goroutines of "+name+" since rest", "", report.Time).Add(side, after[name].goroutines-before[name].goroutines)
	}
}

// goroutines reads go_goroutines from a service's metrics.
func goroutines(ctx context.Context, url string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	return metric(res.Body, "go_goroutines")
}

func metric(r io.Reader, name string) (float64, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}
