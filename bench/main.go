// Command bench measures what the patterns cost, and compares it in the same run with a peer or with
// a limit: the least that the same work can cost on the same database. docs/performance.md says what
// is measured and how to read it.
//
//	go run ./bench [--quick] [NAME…]
//
// It starts what it needs. Every run of a comparison is made in turns with the others, and ratios
// are computed per pair. --quick makes small runs and fails when a count or a ratio exceeds its
// limit (see limits); no time and no rate is a limit. Without it the command fails only when a
// measurement fails.
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
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"eventshop.example/bench/relays"
	"eventshop.example/bench/report"
)

// options is the command line.
type options struct {
	quick   bool
	rounds  int
	against string        // a commit whose shop is the peer of the sagas
	during  time.Duration // of sustained
	rows    int           // of growth
	results string        // folder
	names   []string
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, os.Args[1:], os.Stdout)
	cancel()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string, out io.Writer) error {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	if len(args) > 0 && args[0] == relays.AsService {
		return relays.Serve(ctx, args[1:])
	}
	o, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	repo, err := repository()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "eventshop-bench-")
	if err != nil {
		return err
	}
	e := &env{options: o, repo: repo, dir: dir, progress: report.NewProgress(os.Stderr)}
	return errors.Join(run(ctx, e, out), e.close())
}

// parse reads the command line.
func parse(args []string, usage io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.BoolVar(&o.quick, "quick", false, "small runs; fails when a count or a ratio exceeds its limit")
	flags.IntVar(&o.rounds, "rounds", 0, "runs of each side (default 3; with --quick 1)")
	flags.StringVar(&o.against, "against", "", "commit whose shop the sagas are compared with, in turns")
	flags.DurationVar(&o.during, "for", 10*time.Minute, "how long sustained places orders")
	flags.IntVar(&o.rows, "rows", 2_000_000, "published rows in growth")
	flags.StringVar(&o.results, "results", "bench/results", "folder for JSON and plots, below the repository")
	flags.Usage = func() {
		fmt.Fprintln(usage, "bench [flags] [NAME…]\n\nnames:")
		for _, b := range benchmarks() {
			fmt.Fprintf(usage, "  %-12s %s%s\n", b.name, b.about, b.remark())
		}
		fmt.Fprintln(usage, "\nflags:")
		flags.PrintDefaults()
	}
	// Flags may follow names.
	for rest := args; ; {
		if err := flags.Parse(rest); err != nil {
			return o, err
		}
		if flags.NArg() == 0 {
			break
		}
		o.names, rest = append(o.names, flags.Arg(0)), flags.Args()[1:]
	}
	if o.rounds == 0 {
		o.rounds = 3
		if o.quick {
			o.rounds = 1
		}
	}
	if o.rounds < 1 || o.during <= 0 || o.rows < 1000 {
		return o, errors.New("want --rounds of at least 1, --for positive, --rows of at least 1000")
	}
	for _, name := range o.names {
		if !slices.ContainsFunc(benchmarks(), func(b benchmark) bool { return b.name == name }) {
			return o, fmt.Errorf("no benchmark is named %q; the names are %s", name, strings.Join(names(), ", "))
		}
	}
	return o, nil
}

// repository returns the folder that has the go.work above the working folder.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.work")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not inside the repository", dir)
		}
	}
}
