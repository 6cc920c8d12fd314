// Package latency measures how long an order takes from its acceptance to CONFIRMED on a running
// stack, where the time is spent, and how much memory the services use.
//
// Orders are placed at a steady pace by several clients. The package observes each step by the record
// that announces it, so it does not poll, and the services do no additional work. All compared clocks
// must be of one machine: against a stack on other machines the hops, but not the totals, would
// contain the difference of the clocks.
//
// It fails if an order is refused, and if an order is not confirmed within the timeout; the error
// names the missing events. It does not judge the figures.
package latency

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"eventshop.example/bench/measure"
	"eventshop.example/bench/shop"
)

// Config is one measurement.
type Config struct {
	Orders    int           // orders to measure
	Warmup    int           // orders before them, to open connections and fill caches
	Clients   int           // requests in flight at most
	PerSecond float64       // pace; 0: each client places the next order when its last one is confirmed
	Timeout   time.Duration // for one order
}

// Result is what was measured.
type Result struct {
	cfg           Config
	took          time.Duration
	samples       []sample
	before, after map[string]measure.Memory // by process
}

// Measure places orders on the shop, whose stock is sufficient.
func Measure(ctx context.Context, s *shop.Stack, cfg Config, note func(confirmed int)) (*Result, error) {
	r := &Result{cfg: cfg}
	var err error
	if r.before, err = measure.MemoryOf(s.PIDs); err != nil {
		return nil, err
	}
	w, err := watch(ctx, s.Kafka)
	if err != nil {
		return nil, err
	}
	defer w.close()

	p := placer{cfg: cfg, client: s.NewClient(cfg.Clients), watcher: w, note: note}
	if _, err := p.place(ctx, cfg.Warmup); err != nil {
		return nil, fmt.Errorf("warm up: %w", err)
	}
	began := time.Now()
	if r.samples, err = p.place(ctx, cfg.Orders); err != nil {
		return nil, err
	}
	r.took = time.Since(began)
	r.after, err = measure.MemoryOf(s.PIDs)
	return r, err
}

// Confirmed returns the time from the acceptance of each order until its confirmation was seen.
func (r *Result) Confirmed() []time.Duration {
	return durations(r.samples, func(s sample) time.Duration { return s.steps[len(s.steps)-1].seen.Sub(s.accepted) })
}

// Posts returns the time of each request.
func (r *Result) Posts() []time.Duration {
	return durations(r.samples, func(s sample) time.Duration { return s.accepted.Sub(s.sent) })
}

// Report prints the hops and the memory.
func (r *Result) Report(out io.Writer) {
	report(out, r.cfg, r.samples, r.took)
	reportMemory(out, r.before, r.after)
}

// placer places orders on a shop.
type placer struct {
	cfg     Config
	client  *shop.Client
	watcher *watcher
	note    func(confirmed int)
}

// place places n orders, shared among the clients, and returns them in the order in which they were
// confirmed. It ends at the first error.
func (p placer) place(ctx context.Context, n int) ([]sample, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	tickets := make(chan int, n)
	var mu sync.Mutex
	var samples []sample
	var clients sync.WaitGroup
	for range p.cfg.Clients {
		clients.Go(func() {
			for i := range tickets {
				s, err := p.one(ctx, i)
				if err != nil {
					fail(err)
					return
				}
				mu.Lock()
				samples = append(samples, s)
				p.note(len(samples))
				mu.Unlock()
			}
		})
	}
	p.pace(ctx, tickets, n)
	clients.Wait()
	return samples, context.Cause(ctx)
}

// pace sends a ticket per order when it is due.
func (p placer) pace(ctx context.Context, tickets chan<- int, n int) {
	defer close(tickets)
	if p.cfg.PerSecond == 0 {
		for i := range n {
			tickets <- i
		}
		return
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / p.cfg.PerSecond))
	defer tick.Stop()
	for i := range n {
		select {
		case <-tick.C:
			tickets <- i
		case <-ctx.Done():
			return
		}
	}
}

// one places an order and waits until it is confirmed.
func (p placer) one(ctx context.Context, i int) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	placed, _, err := p.client.Order(ctx, i, "")
	if err != nil {
		return sample{}, err
	}
	way, err := p.watcher.await(ctx, placed.ID)
	if err != nil {
		return sample{}, err
	}
	return sample{sent: placed.Sent, accepted: placed.Accepted, steps: way}, nil
}
