// Command latency measures how long an order takes from its acceptance to
// CONFIRMED on a running stack, where the time goes, and how much memory the five
// services hold.
//
// It places orders one after the other (by each of --clients) and learns of each
// step from the record that announces it, so nothing is polled and the services do
// no work they would not do otherwise. All clocks compared are of one machine:
// against a stack on other machines the hops, though not the totals, would
// contain the difference of the clocks.
//
// It fails when the stack is not there, when an order is refused, and when one is
// not confirmed within --timeout; it does not judge the figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// config is the command line.
type config struct {
	state   string
	orders  int
	warmup  int // orders placed before, which open connections and fill caches
	clients int
	timeout time.Duration // for one order
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, os.Args[1:], os.Stdout)
	cancel()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string, out io.Writer) error {
	cfg, err := parse(args)
	if err != nil {
		return err
	}
	return run(ctx, cfg, out)
}

func parse(args []string) (config, error) {
	var cfg config
	flags := flag.NewFlagSet("latency", flag.ContinueOnError)
	flags.StringVar(&cfg.state, "state", ".shop", "state folder of the running stack")
	flags.IntVar(&cfg.orders, "orders", 500, "orders to measure")
	flags.IntVar(&cfg.warmup, "warmup", 50, "orders to place before, which are not counted")
	flags.IntVar(&cfg.clients, "clients", 1, "clients, each of which waits for its order before it places the next")
	flags.DurationVar(&cfg.timeout, "timeout", 30*time.Second, "how long one order may take")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	if cfg.orders < 1 || cfg.clients < 1 || cfg.warmup < 0 || cfg.timeout <= 0 || flags.NArg() > 0 {
		return cfg, errors.New("want --orders and --clients of at least 1, --warmup not negative, --timeout positive, and nothing else")
	}
	return cfg, nil
}

func run(ctx context.Context, cfg config, out io.Writer) error {
	s, err := open(cfg.state)
	if err != nil {
		return err
	}
	before, err := memoryOf(s)
	if err != nil {
		return err
	}
	shop := newShop(s.URLs["order"], s.URLs["inventory"], cfg.clients)
	if err := shop.receive(ctx, cfg.warmup+cfg.orders); err != nil {
		return err
	}
	w, err := watch(ctx, s.Kafka)
	if err != nil {
		return err
	}
	defer w.close()

	b := bench{cfg: cfg, shop: shop, watcher: w}
	if _, err := b.place(ctx, cfg.warmup); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	began := time.Now()
	samples, err := b.place(ctx, cfg.orders)
	if err != nil {
		return err
	}
	took := time.Since(began)
	after, err := memoryOf(s)
	if err != nil {
		return err
	}
	report(out, cfg, samples, took)
	reportMemory(out, before, after)
	return nil
}

// bench places orders on a shop.
type bench struct {
	cfg     config
	shop    *shop
	watcher *watcher
}

// place places n orders, shared among the clients, and returns them in the order
// in which they were confirmed. The first error ends it.
func (b bench) place(ctx context.Context, n int) ([]sample, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	tickets := make(chan struct{}, n)
	for range n {
		tickets <- struct{}{}
	}
	close(tickets)
	var mu sync.Mutex
	var samples []sample
	var clients sync.WaitGroup
	for range b.cfg.clients {
		clients.Go(func() {
			for range tickets {
				s, err := b.one(ctx)
				if err != nil {
					fail(err)
					return
				}
				mu.Lock()
				samples = append(samples, s)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	return samples, context.Cause(ctx)
}

// one places an order and waits until it is confirmed.
func (b bench) one(ctx context.Context) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.timeout)
	defer cancel()
	sent := time.Now()
	id, err := b.shop.order(ctx)
	if err != nil {
		return sample{}, err
	}
	accepted := time.Now()
	way, err := b.watcher.await(ctx, id)
	if err != nil {
		return sample{}, err
	}
	return sample{sent: sent, accepted: accepted, steps: way}, nil
}
