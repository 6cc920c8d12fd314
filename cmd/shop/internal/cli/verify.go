package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/verify"
	"eventshop.example/local/stack"
)

func verifyCommand(e *env) *cobra.Command {
	var settle time.Duration
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Checks the invariants from the databases, the topics and the gateway's ledger",
		Long: `Checks the invariants from the databases, the topics and the gateway's ledger, once the
shop has come to rest, and fails when one is broken.

An order that waits for the retry of an event, or for somebody's decision about a dead
letter, is no breach: it is named as held.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.open()
			if err != nil {
				return err
			}
			if !s.Known() {
				return fmt.Errorf("there is no shop in %s; start one with `shop up`", s.State)
			}
			return e.verify(cmd.Context(), s, settle)
		},
	}
	cmd.Flags().DurationVar(&settle, "settle", settleWithin, "how long to wait for the shop to come to rest")
	return cmd
}

// settleWithin is how long a shop may take to come to rest: a parcel is delivered after
// some seconds, and the rest is room for retries and for a slow machine.
const settleWithin = 30 * time.Second

// verify checks the invariants of a shop that is up and prints what it finds. That one is
// broken is an error.
func (e *env) verify(ctx context.Context, s *stack.Stack, settle time.Duration) error {
	f := s.File()
	facts, err := verify.Load(ctx, verify.Sources{
		DSN: f.DSN, Kafka: f.Cluster(), RegistryURL: f.URL[stack.Registry], GatewayURL: f.URL[stack.Gateway],
	}, settle)
	if err != nil {
		return err
	}
	broken := 0
	for _, r := range verify.Check(facts) {
		mark := "ok    "
		if !r.OK() {
			mark = "BREACH"
			broken++
		}
		fmt.Fprintf(e.out, "%s  %-3s  %s (%s)\n", mark, r.Invariant, r.Title, r.Counted)
		e.details(r.Breaches)
	}
	if line, why := verify.Held(facts); line != "" {
		fmt.Fprintln(e.out, line)
		e.details(why)
	}
	if broken > 0 {
		return fmt.Errorf("%d invariants are broken", broken)
	}
	return nil
}

// details prints what stands behind a line, as far as anybody reads it.
func (e *env) details(lines []string) {
	for i, line := range lines {
		if i == 20 {
			fmt.Fprintf(e.out, "             … and %d more\n", len(lines)-i)
			break
		}
		fmt.Fprintf(e.out, "             %s\n", line)
	}
}
