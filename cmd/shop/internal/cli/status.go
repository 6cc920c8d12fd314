package cli

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"eventshop.example/local/process"
	"eventshop.example/local/stack"
)

func statusCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Shows what runs and whether it is ready, dead letters, parked keys and breakers",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.open()
			if err != nil {
				return err
			}
			if !s.Known() {
				fmt.Fprintf(e.out, "there is no shop in %s; start one with `shop up`\n", s.State)
				return nil
			}
			names := s.Processes()
			all, err := s.Status()
			if err != nil {
				return err
			}
			reasons := make([]error, len(names))
			var wg sync.WaitGroup
			for i, name := range names {
				if all[name].State == process.Running {
					wg.Go(func() { reasons[i] = s.Ready(cmd.Context(), name) })
				}
			}
			wg.Wait()
			w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "PROCESS\tPID\tPORT\tOPERATOR\tSTATE\tWHY")
			for i, name := range names {
				state, why := "ready", ""
				switch {
				case name == stack.Postgres && s.File().Source.External():
					state, why = "external", "given by --postgres"
				case all[name].State != process.Running:
					state = string(all[name].State)
				case reasons[i] != nil:
					state, why = "not ready", reasons[i].Error()
				}
				operator := "-"
				if u, err := url.Parse(s.File().Operators[name]); err == nil && u.Host != "" {
					operator = u.Port()
				}
				fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\n", name, all[name].PID, s.File().Ports[name], operator, state, why)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			return e.health(cmd.Context(), s)
		},
	}
}

func logsCommand(e *env) *cobra.Command {
	var follow bool
	var lines int
	cmd := &cobra.Command{
		Use:               "logs [PROCESS]",
		Short:             "Prints the end of a process's log, or of all",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: e.completeProcess,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.open()
			if err != nil {
				return err
			}
			names := args
			if len(names) == 0 {
				names = s.Processes()
			}
			for _, name := range names {
				if len(names) > 1 {
					fmt.Fprintf(e.out, "==> %s\n", name)
				}
				err := s.Logs(cmd.Context(), name, e.out, lines, follow && len(names) == 1)
				if errors.Is(err, os.ErrNotExist) {
					fmt.Fprintf(e.out, "%s has no log\n", name)
					continue
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on printing (one process)")
	cmd.Flags().IntVarP(&lines, "lines", "n", 50, "how many lines")
	return cmd
}
