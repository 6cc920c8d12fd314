package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/local/stack"
	"eventshop.example/ops/quote"
	"eventshop.example/ops/verify"
	"eventshop.example/proof/trace"
)

func verifyCommand(e *env) *cobra.Command {
	var settle time.Duration
	var registry string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Checks the invariants from databases, topics, ledger and mailbox",
		Long: `Checks the invariants from databases, topics, the gateway's ledger and the mailbox, once the
shop has come to rest, and fails when one is broken.

An order that waits for the retry of an event, or for an operator's decision about a dead
letter, is no breach: it is named as held.

Each service's events are decoded with the schema registry that the service asks. Events
that this registry cannot tell apart, or that cannot be decoded because it does not answer,
are no breach either: the command says so, checks what does not need them, and fails.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.live()
			if err != nil {
				return err
			}
			if registry != "" {
				source, err := stack.ParseRegistrySource(registry)
				if err != nil || !source.External() {
					return errors.New("--registry: it is not the URL of a schema registry, such as http://localhost:8081")
				}
			}
			return e.verify(cmd.Context(), s, settle, registry)
		},
	}
	cmd.Flags().StringVar(&registry, "registry", "", "URL of the schema registry to decode all events with (default the one that each service asks)")
	cmd.Flags().DurationVar(&settle, "settle", settleWithin, "how long to wait for the shop to come to rest")
	return cmd
}

// settleWithin bounds how long a shop takes to come to rest: a parcel is delivered after some
// seconds; the rest is a margin for retries and for a slow machine.
const settleWithin = 30 * time.Second

// verify checks the invariants of a running shop and prints the findings. A broken invariant is an
// error, and unchecked ones are another error. registry, if not "", replaces the registry URLs of
// the services.
func (e *env) verify(ctx context.Context, s *stack.Stack, settle time.Duration, registry string) error {
	src, err := verify.SourcesOf(s.File().Addresses(), registry)
	if err != nil {
		return err
	}
	p := term.Start(e.errOut, "waiting until the shop is at rest", settle)
	src.Reading = func(what string) { p.Note("reading %s", what) }
	facts, err := verify.Load(ctx, src, settle)
	p.Stop()
	if err != nil {
		return err
	}
	broken := 0
	var rows [][]string
	for _, r := range trace.New().Check(facts) {
		mark := term.State(e.out, "ok")
		switch {
		case r.NotChecked:
			mark = term.Paint(e.out, term.Yellow, "------")
		case !r.OK():
			mark = term.State(e.out, "BREACH")
			broken++
		}
		rows = append(rows, []string{mark, r.Invariant, fmt.Sprintf("%s (%s)", r.Title, r.Counted)})
		rows = append(rows, details(r.Breaches)...)
	}
	if line, why := verify.Held(facts); line != "" {
		rows = append(rows, []string{term.Paint(e.out, term.Yellow, "held"), "", strings.TrimPrefix(line, "held: ")})
		rows = append(rows, details(why)...)
	}
	undecoded := verify.Decoded(facts)
	if lacking, ok := errors.AsType[*verify.CannotDecode](undecoded); ok {
		rows = append(rows, e.undecodable(s, lacking)...)
	}
	if err := term.Columns(e.out, []string{"", "", ""}, rows); err != nil {
		return err
	}
	switch {
	case broken > 0 && undecoded != nil:
		return fmt.Errorf("%d invariants are broken; and %w", broken, undecoded)
	case broken > 0:
		return fmt.Errorf("%d invariants are broken", broken)
	}
	return undecoded
}

// undecodable lists per registry what could not be decoded, and the remedy.
func (e *env) undecodable(s *stack.Stack, lacking *verify.CannotDecode) (rows [][]string) {
	for _, r := range lacking.Registries {
		rows = append(rows, []string{term.Paint(e.out, term.Red, "cannot decode"), "",
			fmt.Sprintf("%s of %s, with the schema registry at %s", plural(r.Events, "event", "events"), quote.Words(r.Services), quote.Text(r.Address))})
		rows = append(rows, details(r.Why)...)
		what := "→ the events were written with the schemas of another registry, or this one has lost them; name the one that has them: shop verify --registry URL"
		switch {
		case r.Away && r.Address == s.File().URL[stack.Registry] && !s.Elsewhere(stack.Registry):
			what = "→ it does not answer: shop start registry"
		case r.Away:
			what = "→ it does not answer: see that it runs and admits the shop, then again: shop verify"
		}
		rows = append(rows, []string{"", "", what})
	}
	return rows
}

// most bounds the lines below a finding to a readable number.
const most = 20

// details returns the lines below a finding.
func details(lines []string) (rows [][]string) {
	for i, line := range lines {
		if i == most {
			return append(rows, []string{"", "", fmt.Sprintf("… and %d more", len(lines)-i)})
		}
		rows = append(rows, []string{"", "", line})
	}
	return rows
}
