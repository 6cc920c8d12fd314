// Command relays measures the two ways in which an outbox is relayed beside each other:
// the polling relay, and Debezium in Kafka Connect. Each gets the same backlog, and then the
// same events one by one at a steady rate, by turns.
//
// It starts Apache Kafka, Kafka Connect and PostgreSQL in a temporary folder; the service
// with its relay is a process of its own. It needs Java 17, Maven for the first download,
// PostgreSQL's server binaries, and Linux for the processor times. It fails when an event is
// lost or a key's events come out of order; it does not judge the figures.
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

	"eventshop.example/pkg/outbox"
)

// config is the command line.
type config struct {
	backlog, rounds int
	rate            float64
	during          time.Duration
}

const (
	// warmupBacklog lets the Java programs compile what they run often.
	warmupBacklog = 20_000
	warmupFor     = 5 * time.Second
	// tooLong ends a run that does not get on.
	tooLong = 15 * time.Minute
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, os.Args[1:], os.Stdout)
	cancel()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "relays:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string, out io.Writer) error {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	if len(args) == 4 && args[0] == asService {
		return serve(ctx, args[1], args[2], args[3])
	}
	var cfg config
	flags := flag.NewFlagSet("relays", flag.ContinueOnError)
	flags.IntVar(&cfg.backlog, "backlog", 200_000, "events in the outbox before the relay starts")
	flags.IntVar(&cfg.rounds, "rounds", 3, "pairs of runs; the median is reported")
	flags.Float64Var(&cfg.rate, "rate", 200, "events a second, one in a transaction")
	flags.DurationVar(&cfg.during, "during", 30*time.Second, "how long events come at that rate")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if cfg.backlog < 1 || cfg.rounds < 1 || cfg.rate <= 0 || cfg.during <= 0 || flags.NArg() > 0 {
		return errors.New("want --backlog and --rounds of at least 1, --rate and --during positive, and nothing else")
	}
	b, err := newBench(ctx, func(what string) { fmt.Fprintln(out, what) })
	if err != nil {
		return err
	}
	return errors.Join(report(ctx, out, cfg, b), b.close())
}

// turns has Polling and Debezium do the same by turns, first the one, then the other.
func turns(rounds int, do func(round int, mode outbox.Mode) error) error {
	for i := range rounds {
		order := []outbox.Mode{outbox.Polling, outbox.Debezium}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, mode := range order {
			if err := do(i+1, mode); err != nil {
				return fmt.Errorf("round %d, %s: %w", i+1, mode, err)
			}
		}
	}
	return nil
}

func report(ctx context.Context, out io.Writer, cfg config, b *bench) error {
	drains, paces := map[outbox.Mode][]drain{}, map[outbox.Mode][]pace{}
	fmt.Fprintf(out, "warming up with %d events\n", warmupBacklog)
	err := turns(1, func(_ int, mode outbox.Mode) error {
		_, err := within(ctx, func(ctx context.Context) (drain, error) { return b.backlog(ctx, mode, warmupBacklog) })
		return err
	})
	if err != nil {
		return err
	}
	err = turns(cfg.rounds, func(round int, mode outbox.Mode) error {
		d, err := within(ctx, func(ctx context.Context) (drain, error) { return b.backlog(ctx, mode, cfg.backlog) })
		if err != nil {
			return err
		}
		drains[mode] = append(drains[mode], d)
		fmt.Fprintf(out, "round %d  %-8s  %6.0f events/s  first after %.1f s, last after %.1f s, all marked after %.1f s; %d repeated; CPU s: %s\n",
			round, mode, d.rate(), d.first.Seconds(), d.last.Seconds(), d.done.Seconds(), d.repeated, d.costs)
		return nil
	})
	if err != nil {
		return err
	}
	n := int(cfg.rate * cfg.during.Seconds())
	err = turns(cfg.rounds, func(round int, mode outbox.Mode) error {
		p, err := within(ctx, func(ctx context.Context) (pace, error) {
			return b.paced(ctx, mode, int(cfg.rate*warmupFor.Seconds()), n, cfg.rate)
		})
		if err != nil {
			return err
		}
		paces[mode] = append(paces[mode], p)
		fmt.Fprintf(out, "round %d  %-8s  %4.0f events/s  commit → consumer p50 %s, p99 %s, max %s; CPU s: %s\n",
			round, mode, float64(n)/p.took.Seconds(), ms(p.quantile(.5)), ms(p.quantile(.99)), ms(p.late[len(p.late)-1]), p.costs)
		return nil
	})
	if err != nil {
		return err
	}

	fmt.Fprintf(out, "\nmedians of %d                          polling  Debezium  Debezium/polling\n", cfg.rounds)
	line := func(name, unit string, of func(outbox.Mode) float64) {
		p, d := of(outbox.Polling), of(outbox.Debezium)
		fmt.Fprintf(out, "%-34s %10.1f %9.1f %9.2f   %s\n", name, p, d, d/p, unit)
	}
	fmt.Fprintf(out, "a backlog of %d events\n", cfg.backlog)
	line("  throughput", "events/s", func(m outbox.Mode) float64 { return median(drains[m], drain.rate) })
	line("  start of the relay → all marked", "s", func(m outbox.Mode) float64 {
		return median(drains[m], func(d drain) float64 { return d.done.Seconds() })
	})
	line("  processor time", "s", func(m outbox.Mode) float64 {
		return median(drains[m], func(d drain) float64 { return d.costs.sum().Seconds() })
	})
	fmt.Fprintf(out, "%.0f events/s for %s\n", cfg.rate, cfg.during)
	for _, q := range []float64{.5, .99} {
		line(fmt.Sprintf("  commit → consumer p%.0f", q*100), "ms", func(m outbox.Mode) float64 {
			return median(paces[m], func(p pace) float64 { return float64(p.quantile(q).Microseconds()) / 1000 })
		})
	}
	line("  processor time", "s", func(m outbox.Mode) float64 {
		return median(paces[m], func(p pace) float64 { return p.costs.sum().Seconds() })
	})
	return nil
}

func within[T any](ctx context.Context, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, tooLong)
	defer cancel()
	return do(ctx)
}

func median[T any](all []T, of func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, v := range all {
		values[i] = of(v)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// quantile is the smallest value that at least the share q does not exceed.
func (p pace) quantile(q float64) time.Duration {
	return p.late[max(int(q*float64(len(p.late))+0.9999999)-1, 0)]
}

func (c costs) String() string {
	return fmt.Sprintf("service %.1f, Connect %.1f, Kafka %.1f, PostgreSQL %.1f",
		c.service.Seconds(), c.connect.Seconds(), c.kafka.Seconds(), c.postgres.Seconds())
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
