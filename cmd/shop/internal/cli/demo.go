package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/lab/scenarios"
	"eventshop.example/local/process"
	"eventshop.example/local/stack"
)

func demoCommand(e *env) *cobra.Command {
	var flags upFlags
	var exit bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Brings the shop up, plays the scenarios and verifies; then stays until Ctrl-C",
		Long: `Brings the shop up, plays the scenarios and verifies; then stays until Ctrl-C and stops the
shop. A shop that was up before stays up, and the command returns. What the scenarios need
they set and restore: faults that others planted, and the number of payment's processes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.open()
			if err != nil {
				return err
			}
			o, err := flags.options()
			if err != nil {
				return err
			}
			return e.demo(cmd.Context(), s, o, exit)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&exit, "exit", false, "stop the shop after the scenarios; exit 0 only when all went as expected and no invariant is broken")
	return cmd
}

// demo starts the shop, plays the scenarios, verifies, and then stays or stops. A shop that ran
// before continues to run.
func (e *env) demo(ctx context.Context, s *stack.Stack, o stack.Options, exit bool) (err error) {
	running, err := s.Running()
	if err != nil {
		return err
	}
	if len(running) == 0 {
		e.hurry(&o)
	}
	summary := ""
	replicas := s.File().Replicas[breakerService]
	defer func() {
		if s.Opened() {
			err = errors.Join(err, e.stop(ctx, s))
		}
		err = errors.Join(err, e.scaleBack(ctx, s, replicas))
		if summary != "" {
			fmt.Fprintln(e.out, summary)
		}
	}()
	if err := s.Up(ctx, o); err != nil {
		return err
	}
	if err := e.whole(ctx, s); err != nil {
		return err
	}
	replicas = s.File().Replicas[breakerService]
	if replicas > 1 {
		fmt.Fprintf(e.out, "%s runs as one process while the scenarios play, since each process has a breaker of its own\n", breakerService)
		if err := s.Scale(ctx, breakerService, 1); err != nil {
			return err
		}
	}
	ep := endpoints(s)
	if ep.BreakerPause = breakerPause; s.Opened() {
		ep.BreakerPause = hurriedPause
	}
	results, err := e.play(ctx, ep)
	if err != nil {
		return err
	}
	line, ok := scenarios.Summary(results)
	fmt.Fprintln(e.out, "\nshop verify:")
	breach := e.verify(ctx, s, settleWithin, "")
	summary = line
	if exit || !s.Opened() {
		if !ok {
			breach = errors.Join(errors.New("not every scenario went as expected"), breach)
		}
		return breach
	}
	if breach != nil { // the shop stays open for inspection
		fmt.Fprintln(e.out, breach)
	}
	fmt.Fprintln(e.out, line)
	summary = ""
	if err := e.scaleBack(ctx, s, replicas); err != nil {
		return err
	}
	replicas = 1 // later changes of the scale stay
	if err := printOpen(e.out, s); err != nil {
		return err
	}
	if _, err := fmt.Fprint(e.out, tour(ep)); err != nil {
		return err
	}
	return e.wait(ctx, s)
}

// breakerService is the service whose breaker a scenario watches.
const breakerService = "payment"

// scaleBack restores the service's number of processes from before the scenarios.
func (e *env) scaleBack(ctx context.Context, s *stack.Stack, replicas int) error {
	if replicas <= 1 || s.File().Replicas[breakerService] == replicas {
		return nil
	}
	return s.Scale(context.WithoutCancel(ctx), breakerService, replicas)
}

// whole returns an error if a process of the shop does not run or is not ready. Without this check,
// the scenarios would only time out.
func (e *env) whole(ctx context.Context, s *stack.Stack) error {
	all, err := s.Status()
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range s.Processes() {
		switch {
		case s.Elsewhere(name):
		case all[name].State != process.Running:
			missing = append(missing, fmt.Sprintf("%s is %s", name, all[name].State))
		default:
			if err := s.Ready(ctx, name); err != nil {
				missing = append(missing, fmt.Sprintf("%s is not ready: %s", name, line(err.Error(), 200)))
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the scenarios need a whole shop:\n%s", strings.Join(missing, "\n"))
	}
	return nil
}

// hurry shortens the pause of the breaker in the demo's own shop.
func (e *env) hurry(o *stack.Options) {
	const name = "GATEWAY_BREAKER_OPEN_FOR"
	o.Once = map[string]map[string]string{breakerService: {name: hurriedPause.String()}}
	if _, given := o.Env[breakerService][name]; !given {
		fmt.Fprintf(e.out, "until this shop is down, an open breaker pauses for %s, not %s\n", hurriedPause, breakerPause)
	}
}

// hurriedPause is a breaker's pause in the demo's own shop, breakerPause the default in others.
const hurriedPause, breakerPause = 2 * time.Second, 30 * time.Second

func endpoints(s *stack.Stack) scenarios.Endpoints {
	u := s.File().URL
	return scenarios.Endpoints{
		Order: u["order"], Payment: u["payment"], Inventory: u["inventory"], Shipping: u["shipping"], Orchestrator: u["orchestrator"],
		Projection: u["projection"], Gateway: u[stack.Gateway], Carrier: u[stack.Carrier],
		Operators: s.File().Operators, Databases: s.File().DSN, Kafka: s.File().Cluster(),
	}
}
