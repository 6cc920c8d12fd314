package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/logs"
	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/local/stack"
	"eventshop.example/ops/quote"
)

// followEvery is the polling interval of --follow.
const followEvery = 200 * time.Millisecond

// logsFlags select the logs and their form.
type logsFlags struct {
	services     []string
	order, level string
	since        string
	lines        int
	follow       bool
	asJSON, raw  bool
}

func logsCommand(e *env) *cobra.Command {
	var f logsFlags
	cmd := &cobra.Command{
		Use:   "logs [PROCESS…]",
		Short: "Prints the end of the processes' logs, merged by time",
		Long: `Prints the logs of all processes, or of those named, as one, in the order of time: time,
process, level, message, key=value. A line without a time, as of a panic, stays with the line
before it. --service takes a service with all its replicas, PROCESS one process.

--order keeps the lines that name the order, --level those that are at least so important,
--since those that are not older. --json prints the lines as JSON with "process" added. --raw
prints each process's log as it is, one after the other, or with -f that of one process; it
goes with none of the others but --service and -n.`,
		Example: `  shop logs -f
  shop logs --order 019ac2f4-1f7e-7c31-9a3b-2f1d5e6a7b8c
  shop logs --service payment --level warn --since 5m
  shop logs payment-2 -n 200`,
		ValidArgsFunction: e.completeProcess,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.lines < 0 {
				return fmt.Errorf("--lines: %d is less than 0", f.lines)
			}
			s, err := e.known()
			if err != nil {
				return err
			}
			names, err := processes(s, args, f.services)
			if err != nil {
				return err
			}
			if f.raw {
				if err := f.fitRaw(cmd, names); err != nil {
					return err
				}
				return rawLogs(cmd.Context(), e.out, s, names, f)
			}
			filter, err := f.filter(time.Now())
			if err != nil {
				return err
			}
			return mergedLogs(cmd, e.out, s, names, f, filter)
		},
	}
	cmd.Flags().StringArrayVar(&f.services, "service", nil, "only this service, all its replicas (repeatable)")
	cmd.Flags().StringVar(&f.order, "order", "", "only lines that name this order")
	cmd.Flags().StringVar(&f.level, "level", "debug", "only lines of this level and above: debug, info, warn, error")
	cmd.Flags().StringVar(&f.since, "since", "", "only lines since: 5m, 2d, 2026-01-31 or RFC 3339")
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on printing")
	cmd.Flags().IntVarP(&f.lines, "lines", "n", 50, "how many lines of the merged log")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON lines, for programs")
	cmd.Flags().BoolVar(&f.raw, "raw", false, "print each log as it is, the last lines of each")
	return cmd
}

// fitRaw refuses flags that --raw does not support.
func (f logsFlags) fitRaw(cmd *cobra.Command, names []string) error {
	for _, name := range []string{"order", "level", "since", "json"} {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--raw prints a log as it is, so it does not go with --%s", name)
		}
	}
	if f.follow && len(names) > 1 {
		return fmt.Errorf("--raw -f follows one process, and these are %d: name one, as in `shop logs --raw -f %s`", len(names), names[0])
	}
	return nil
}

func (f logsFlags) filter(now time.Time) (filter logs.Filter, err error) {
	level, known := logs.ParseLevel(f.level)
	if !known {
		return filter, fmt.Errorf("--level: %q is none of debug, info, warn, error", f.level)
	}
	since, err := parseWhen("since", f.since, now)
	return logs.Filter{Order: strings.TrimSpace(f.order), Level: level, Since: since}, err
}

// processes returns the selected processes: the named ones and those of the named services, or all
// that run here.
func processes(s *stack.Stack, named, services []string) ([]string, error) {
	all := s.Processes()
	var names []string
	for _, name := range named {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("there is no process %q; there are %s", line(name, 40), strings.Join(all, ", "))
		}
		names = append(names, name)
	}
	for _, service := range services {
		of := slices.DeleteFunc(slices.Clone(all), func(name string) bool {
			number, isReplica := strings.CutPrefix(name, service+"-")
			return name != service && (!isReplica || strings.Trim(number, "0123456789") != "")
		})
		if len(of) == 0 {
			return nil, fmt.Errorf("--service: there is no service %q; there are %s", line(service, 40), strings.Join(all, ", "))
		}
		names = append(names, of...)
	}
	if len(names) == 0 {
		names = slices.DeleteFunc(slices.Clone(all), s.Elsewhere)
	}
	var once []string
	for _, name := range names {
		if s.Elsewhere(name) {
			return nil, fmt.Errorf("%s was given by its address: its log is not here", name)
		}
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	return once, nil
}

// sources returns the processes' logs: files of programs, or Docker's logs of containers.
func sources(s *stack.Stack, names []string, follow bool) []logs.Source {
	var out []logs.Source
	for _, name := range names {
		source := logs.Source{Process: name, Log: logs.NewFile(s.LogFile(name))}
		if s.File().Compose {
			source.Local = time.UTC // of containers
			source.Log = logs.NewStream(follow, func(ctx context.Context, out *logs.Buffer, lines int, follow bool) error {
				return s.Logs(ctx, name, out, lines, follow)
			})
		}
		out = append(out, source)
	}
	return out
}

// mergedLogs prints the end of the logs and, with --follow, later lines.
func mergedLogs(cmd *cobra.Command, out io.Writer, s *stack.Stack, names []string, f logsFlags, filter logs.Filter) error {
	ctx := cmd.Context()
	reader := logs.NewReader(filter, sources(s, names, f.follow)...)
	defer reader.Close()
	width := 0
	for _, name := range names {
		width = max(width, len(name))
	}
	entries, without, err := reader.Last(ctx, f.lines, f.follow)
	if ctx.Err() != nil {
		return nil
	}
	for _, name := range without {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s has no log\n", name)
	}
	if shown := printEntries(out, entries, width, f.asJSON); shown != nil {
		return shown
	}
	if len(entries) == 0 && f.order != "" && f.lines > 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), f.nothing(cmd))
	}
	if err != nil || !f.follow {
		return err
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		entries, err := reader.Next(ctx)
		if shown := printEntries(out, entries, width, f.asJSON); shown != nil {
			return shown
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// nothing is the message that no line names the order.
func (f logsFlags) nothing(cmd *cobra.Command) string {
	text := "no line names order " + quote.Word(strings.TrimSpace(f.order))
	if cmd.Flags().Changed("level") || cmd.Flags().Changed("since") || len(f.services)+cmd.Flags().NArg() > 0 {
		text = "of the selected lines none names order " + quote.Word(strings.TrimSpace(f.order))
	}
	if f.follow {
		text += " yet"
	}
	return text
}

func printEntries(out io.Writer, entries []logs.Entry, width int, asJSON bool) error {
	for _, e := range entries {
		text := logs.Line(e, width, time.Now(), func(level string) string { return term.State(out, level) })
		if asJSON {
			b, err := logs.JSON(e)
			if err != nil {
				return err
			}
			text = escapeUnprintable(string(b)) + "\n"
		}
		if _, err := io.WriteString(out, text); err != nil {
			return fmt.Errorf("print the log: %w", err)
		}
	}
	return nil
}

// rawLogs prints the end of each log unchanged.
func rawLogs(ctx context.Context, out io.Writer, s *stack.Stack, names []string, f logsFlags) error {
	for _, name := range names {
		if len(names) > 1 {
			fmt.Fprintf(out, "==> %s\n", name)
		}
		err := s.Logs(ctx, name, out, f.lines, f.follow && len(names) == 1)
		if errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(out, "%s has no log\n", name)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
