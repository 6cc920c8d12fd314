package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/lab/faults"
	"eventshop.example/lab/load"
	"eventshop.example/local/stack"
	"eventshop.example/proof/trace"
)

type faultsFlags struct {
	up             upFlags
	short, keep    bool
	list           bool
	json, markdown bool
	only           []string
	saga           string
}

func faultsCommand(e *env) *cobra.Command {
	var flags faultsFlags
	cmd := &cobra.Command{
		Use:   "faults",
		Short: "Breaks a shop of its own in every known way and shows what becomes of it",
		Long: `Brings up a shop of its own in a temporary folder on free ports, injects every fault of a
table in turn while orders come in, and checks after each that all went as expected and
that the invariants hold (shop verify). The shop that may be running is not touched.

The exit code is 0 only when every fault went as expected.`,
		Example: `  shop faults --short                    some minutes, as a build machine runs it
  shop faults --list                     the faults and what is expected
  shop faults --only refund-for-good     one of them (repeatable)
  shop faults --saga orchestrated        with orders that the orchestrator coordinates
  shop faults --keep                     leave the shop running, to look at it`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load.Styles(flags.saga).Check(); err != nil {
				return fmt.Errorf("--saga: %w", err)
			}
			selected, err := faults.Select(flags.only)
			if err != nil {
				return err
			}
			if flags.list {
				var rows [][]string
				for _, f := range selected {
					rows = append(rows, []string{f.Name, f.Done, f.Expect})
				}
				return table(e.out, "FAULT DONE EXPECTED", rows)
			}
			return runFaults(cmd, e, flags)
		},
	}
	flags.up.add(cmd)
	cmd.Flags().BoolVar(&flags.short, "short", false, "the same faults with less load and shorter outages")
	cmd.Flags().StringArrayVar(&flags.only, "only", nil, "NAME: only this fault (repeatable)")
	cmd.Flags().StringVar(&flags.saga, "saga", "", "style of the orders' sagas: choreographed (the default), orchestrated, or mixed, half of the customers with each")
	cmd.Flags().BoolVar(&flags.keep, "keep", false, "leave the shop running and say where it is")
	cmd.Flags().BoolVar(&flags.list, "list", false, "list the faults and do nothing")
	cmd.Flags().BoolVar(&flags.json, "json", false, "print JSON, for programs; progress goes to standard error")
	cmd.Flags().BoolVar(&flags.markdown, "markdown", false, "print the table for a document; progress goes to standard error")
	cmd.MarkFlagsMutuallyExclusive("json", "markdown")
	return cmd
}

func runFaults(cmd *cobra.Command, e *env, flags faultsFlags) (err error) {
	o, err := flags.up.options()
	if err != nil {
		return err
	}
	o.AutoPorts = true
	for process, vars := range faults.Settings() {
		if o.Env[process] == nil {
			o.Env[process] = map[string]string{}
		}
		for k, v := range vars {
			if _, given := o.Env[process][k]; !given {
				o.Env[process][k] = v
			}
		}
	}
	say := e.out
	if flags.json || flags.markdown {
		say = cmd.ErrOrStderr()
	}
	own := env{out: say, state: e.state}
	temporary := own.state == ""
	if temporary {
		if own.state, err = os.MkdirTemp("", "shop-faults-"); err != nil {
			return err
		}
		// The database server may run as another user, which must be able to enter the folder.
		if err := os.Chmod(own.state, 0o755); err != nil {
			return err
		}
	}
	s, err := own.open()
	if err != nil {
		return err
	}
	if s.Known() {
		return fmt.Errorf("there is a shop in %s; faults need a shop of their own: name a new folder, or none", own.state)
	}
	failed := true
	defer func() {
		if flags.keep {
			fmt.Fprintf(say, "the shop is left running: shop status --state %s\n", own.state)
			return
		}
		err = errors.Join(err, s.Down(context.WithoutCancel(cmd.Context())))
		switch {
		case !temporary:
		case failed:
			fmt.Fprintf(say, "logs and data are kept in %s\n", own.state)
		default:
			err = errors.Join(err, os.RemoveAll(own.state))
		}
	}()
	if err := s.Up(cmd.Context(), o); err != nil {
		return err
	}
	began := time.Now()
	quiet := env{out: io.Discard, state: own.state}
	p := term.Start(e.errOut, "injecting faults", 0)
	defer p.Stop()
	options := faults.Options{Sizes: faults.Full(), Only: flags.only, Saga: load.Styles(flags.saga), Check: trace.New().Check,
		Begins: func(n, total int, f faults.Fault) {
			p.Of(n-1, total)
			fmt.Fprintf(say, "%2d/%d  %s: %s\n", n, total, f.Name, f.Done)
		},
		Ends: func(r faults.Result) { printFault(say, r) },
	}
	if flags.short {
		options.Sizes = faults.Short()
	}
	results, err := faults.Run(cmd.Context(), func() (*stack.Stack, error) { return quiet.open() }, options)
	p.Stop()
	took := time.Since(began)
	line, ok := faults.Summary(results, took)
	switch {
	case flags.json:
		err = errors.Join(err, printJSON(e.out, faultsJSON(results, took)))
	case flags.markdown:
		faultsMarkdown(e.out, results)
	default:
		printFaults(e.out, results)
	}
	fmt.Fprintln(say, "\n"+line)
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("not every fault went as expected")
	}
	failed = false
	return nil
}
