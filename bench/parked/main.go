// Command parked measures what keeping order costs while records fail: the same records
// are consumed twice, once without failures and once with some that fail at their first
// attempt and some that always fail, and it counts what an operator cares about: records
// lost, records out of order, dead letters, and the throughput of one run against the
// other.
//
// Everything runs in this process but PostgreSQL, whose server binaries it starts in a
// temporary folder: broker, registry, relay and consumer are those of the embedded shop.
// It fails when a record is lost or out of order; it does not judge the figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"eventshop.example/pkg/consumer"
)

// config is the command line.
type config struct {
	records, keys int
	once, always  float64 // shares of the records
	rounds        int
	retry         consumer.Retry
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, os.Args[1:], os.Stdout)
	cancel()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "parked:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string, out io.Writer) error {
	cfg := config{}
	flags := flag.NewFlagSet("parked", flag.ContinueOnError)
	flags.IntVar(&cfg.records, "records", 10_000, "records in a run")
	flags.IntVar(&cfg.keys, "keys", 100, "keys they are spread over")
	flags.Float64Var(&cfg.once, "once", 0.05, "share of the records that fail at their first attempt")
	flags.Float64Var(&cfg.always, "always", 0.005, "share of the records that always fail")
	flags.IntVar(&cfg.rounds, "rounds", 3, "pairs of runs; the median is reported")
	flags.IntVar(&cfg.retry.Attempts, "attempts", 3, "attempts before a record is a dead letter")
	flags.DurationVar(&cfg.retry.Backoff.Base, "backoff", 10*time.Millisecond, "base of the backoff; the first wait is twice that")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if cfg.records < 1 || cfg.keys < 1 || cfg.rounds < 1 || cfg.once < 0 || cfg.always < 0 || cfg.once+cfg.always > 1 {
		return errors.New("records, keys and rounds are at least 1, shares from 0 to 1 together")
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	b, err := newBench(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.close()
	return report(ctx, out, cfg, b)
}

// report makes the runs in pairs, so that whatever else the machine does meets both.
func report(ctx context.Context, out io.Writer, cfg config, b *bench) error {
	var clean, failing []result
	for i := range cfg.rounds {
		order := []bool{false, true}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, failures := range order {
			r, err := b.run(ctx, failures)
			if err != nil {
				return err
			}
			if failures {
				failing = append(failing, r)
			} else {
				clean = append(clean, r)
			}
			fmt.Fprintf(out, "round %d, failures %-5t  %7.0f records/s  %d applied, %d dead letters, %d parked behind them, %d retries, %d lost, %d out of order\n",
				i+1, failures, r.throughput(), r.applied, r.dead, r.behind, r.retries, r.lost, r.disorder)
			if r.lost+r.disorder > 0 {
				return fmt.Errorf("%d records lost, %d out of order", r.lost, r.disorder)
			}
		}
	}
	a, z := median(clean), median(failing)
	fmt.Fprintf(out, "\n%d records, %d keys, %.1f %% fail once, %.1f %% always (%d attempts, backoff %s·2^n)\n",
		cfg.records, cfg.keys, cfg.once*100, cfg.always*100, cfg.retry.Attempts, cfg.retry.Backoff.Base)
	fmt.Fprintf(out, "median throughput until every record is applied, given up or parked behind one that is:\n")
	fmt.Fprintf(out, "  without failures %7.0f records/s\n  with failures    %7.0f records/s\n  ratio            %7.0f %%\n", a, z, z/a*100)
	return nil
}

func median(rs []result) float64 {
	all := make([]float64, len(rs))
	for i, r := range rs {
		all[i] = r.throughput()
	}
	slices.Sort(all)
	return all[len(all)/2]
}
