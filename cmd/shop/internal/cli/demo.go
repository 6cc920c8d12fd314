package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/demo"
	"eventshop.example/local/stack"
)

func demoCommand(e *env) *cobra.Command {
	var flags upFlags
	var exit bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Brings the shop up, plays the scenarios and verifies; then stays until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			s, err := e.open()
			if err != nil {
				return err
			}
			o, err := flags.options()
			if err != nil {
				return err
			}
			running, err := s.Running()
			if err != nil {
				return err
			}
			ours := len(running) == 0 // a shop that was up before stays up
			if ours {
				e.hurry(o)
			}
			summary := ""
			defer func() {
				if ours {
					fmt.Fprintln(e.out, "\nstopping")
					err = errors.Join(err, s.Down(context.WithoutCancel(cmd.Context())))
				}
				if summary != "" {
					fmt.Fprintln(e.out, summary)
				}
			}()
			if err := s.Up(cmd.Context(), o); err != nil {
				return err
			}
			ep := endpoints(s)
			results, err := demo.Run(cmd.Context(), ep, e.out)
			if err != nil {
				return err
			}
			line, ok := demo.Summary(results)
			summary = line
			fmt.Fprintln(e.out, "\nshop verify:")
			breach := e.verify(cmd.Context(), s, settleWithin)
			if exit {
				if !ok {
					breach = errors.Join(errors.New("not every scenario went as expected"), breach)
				}
				return breach
			}
			if breach != nil { // the shop stays open, to be looked at
				fmt.Fprintln(e.out, breach)
			}
			fmt.Fprintln(e.out, line)
			summary = ""
			demo.Tour(e.out, ep)
			fmt.Fprintln(e.out, "\nCtrl-C stops the shop; its data stays.")
			<-cmd.Context().Done()
			return nil
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&exit, "exit", false, "stop the shop after the scenarios; exit 0 only when all went as expected and no invariant is broken")
	return cmd
}

// hurry makes the breaker of the demo's own shop pause for less than its half minute.
func (e *env) hurry(o stack.Options) {
	const name, pause = "GATEWAY_BREAKER_OPEN_FOR", "2s"
	if o.Env["payment"] == nil {
		o.Env["payment"] = map[string]string{}
	}
	if _, given := o.Env["payment"][name]; !given {
		o.Env["payment"][name] = pause
		fmt.Fprintf(e.out, "in this shop an open breaker pauses for %s, not 30s (--env payment.%s=…)\n", pause, name)
	}
}

func endpoints(s *stack.Stack) demo.Endpoints {
	u := s.File().URL
	return demo.Endpoints{
		Order: u["order"], Payment: u["payment"], Inventory: u["inventory"], Shipping: u["shipping"],
		Projection: u["projection"], Gateway: u[stack.Gateway], Carrier: u[stack.Carrier],
		Operators: s.File().Operators, Databases: s.File().DSN, Kafka: s.File().Cluster(),
	}
}
