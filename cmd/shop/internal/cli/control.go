package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/local/stack"
	"eventshop.example/ops/eventshop"
)

// one returns a command that acts on one process.
func one(e *env, use, short, done string, act func(ctx context.Context, s *stack.Stack, name string) error) *cobra.Command {
	return &cobra.Command{
		Use:               use + " PROCESS",
		Short:             short,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: e.completeProcess,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.find()
			if err != nil {
				return err
			}
			if err := act(cmd.Context(), s, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(e.out, "%s %s\n", args[0], done)
			return nil
		},
	}
}

func killCommand(e *env) *cobra.Command {
	return one(e, "kill", "Ends a process with SIGKILL", "is killed",
		func(ctx context.Context, s *stack.Stack, name string) error { return s.Kill(ctx, name) })
}

func startCommand(e *env) *cobra.Command {
	return one(e, "start", "Starts a process again and waits until it is ready", "is up",
		func(ctx context.Context, s *stack.Stack, name string) error { return s.Start(ctx, name) })
}

func stopCommand(e *env) *cobra.Command {
	return one(e, "stop", "Stops a process politely (SIGTERM)", "is stopped",
		func(ctx context.Context, s *stack.Stack, name string) error { return s.Stop(ctx, name) })
}

func pauseCommand(e *env) *cobra.Command {
	return one(e, "pause", "Freezes a process (SIGSTOP)", "is frozen",
		func(_ context.Context, s *stack.Stack, name string) error { return s.Pause(name) })
}

func resumeCommand(e *env) *cobra.Command {
	return one(e, "resume", "Thaws a frozen process (SIGCONT)", "is thawed",
		func(_ context.Context, s *stack.Stack, name string) error { return s.Resume(name) })
}

func scaleCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "scale SERVICE N",
		Short: "Runs a service as N processes of one consumer group on one database",
		Long: fmt.Sprintf(`Runs a service as N processes, 1 to %d, of one consumer group on one database.
The first keeps the service's name; the others are called payment-2, payment-3 and so
on, take free ports, and are killed, stopped, frozen and logged by these names. The
number outlives "shop down".`, stack.MaxReplicas),
		Args:      cobra.ExactArgs(2),
		ValidArgs: eventshop.Services(),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return fmt.Errorf("scale %s: %q is no number", args[0], args[1])
			}
			s, err := e.find()
			if err != nil {
				return err
			}
			if err := s.Scale(cmd.Context(), args[0], n); err != nil {
				return err
			}
			running, err := s.Running()
			if err != nil {
				return err
			}
			if len(running) == 0 {
				fmt.Fprintf(e.out, "%s will run as %d when the shop is up\n", args[0], n)
				return nil
			}
			fmt.Fprintf(e.out, "%s runs as %d\n", args[0], n)
			return nil
		},
	}
}

func downCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stops the shop; its data stays",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.open()
			if err != nil {
				return err
			}
			running, err := s.Running()
			if err != nil {
				return err
			}
			p := term.Start(e.errOut, "stopping the shop's processes", stack.StopWithin)
			err = s.Down(context.WithoutCancel(cmd.Context()))
			p.Stop()
			if err != nil {
				return err
			}
			fmt.Fprintf(e.out, "%d processes stopped\n", len(running))
			if found := stack.FindCompose(cmd.Context(), s.Root); len(running) == 0 && found != nil {
				fmt.Fprintln(e.out, "docker compose runs a shop: ./scripts/compose-down takes it down")
			}
			return nil
		},
	}
}

func wipeCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "wipe [broker]",
		Short: "Deletes the data of a shop that is down, or of a broker that does not run",
		Long: `Deletes the data of a shop that is down. "wipe broker" deletes only what the broker has
stored, as the loss of its disk would, while the rest of the shop may run; "shop up" then
brings up an empty one with its topics.`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{stack.Broker},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.open()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				err = s.WipeBroker(cmd.Context())
			} else {
				err = s.Wipe()
			}
			if err == nil {
				fmt.Fprintln(e.out, "the data is gone")
			}
			return err
		},
	}
}
