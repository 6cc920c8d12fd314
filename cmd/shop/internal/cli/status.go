package cli

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/local/process"
	"eventshop.example/local/stack"
)

func statusCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Shows what runs and whether it is ready, dead letters, parked keys and breakers",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.find()
			if err != nil {
				return err
			}
			if !s.Known() {
				fmt.Fprintf(e.out, "there is no shop in %s; start one with `shop up`\n", s.State)
				return nil
			}
			if err := e.printStatus(cmd.Context(), s); err != nil {
				return err
			}
			return e.health(cmd.Context(), s)
		},
	}
}

// printStatus prints a line per process, and below them why some are not ready. One failed
// dependency can keep several processes waiting, so a reason names its processes.
func (e *env) printStatus(ctx context.Context, s *stack.Stack) error {
	names := s.Processes()
	all, err := s.Status()
	if err != nil {
		return err
	}
	reasons := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		if all[name].State == process.Running {
			wg.Go(func() { reasons[i] = s.Ready(ctx, name) })
		}
	}
	wg.Wait()
	var rows [][]string
	var why []string
	waiting := map[string][]string{}
	for i, name := range names {
		state, pid := "ready", strconv.Itoa(all[name].PID)
		switch {
		case s.Elsewhere(name):
			state = "external"
		case all[name].State != process.Running:
			state = string(all[name].State)
		case reasons[i] != nil:
			state = "not ready"
			reason := reasons[i].Error()
			if waiting[reason] == nil {
				why = append(why, reason)
			}
			waiting[reason] = append(waiting[reason], name)
		}
		if all[name].PID == 0 {
			pid = "-"
		}
		operator := "-"
		if u, err := url.Parse(s.File().Operators[name]); err == nil && u.Host != "" {
			operator = u.Port()
		}
		rows = append(rows, []string{name, pid, strconv.Itoa(s.File().Ports[name]), operator, term.State(e.out, state)})
	}
	if err := table(e.out, "PROCESS PID PORT OPERATOR STATE", rows); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "\nstate in %s (%s)\n", s.State, kindOf(s.File()))
	if len(why) == 0 {
		return nil
	}
	fmt.Fprintln(e.out, "\nnot ready:")
	var because [][]string
	for _, reason := range why {
		because = append(because, []string{"", strings.Join(waiting[reason], ", "), line(reason, 0)})
	}
	return term.Columns(e.out, []string{"", "", ""}, because)
}
