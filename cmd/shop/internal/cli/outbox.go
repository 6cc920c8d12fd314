package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/operators"
)

func outboxCommand(e *env) *cobra.Command {
	o := &operator{env: e}
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "The services' outboxes: what is unpublished, and publishing again",
		Long: `Every service writes what it publishes into its outbox, in the transaction of the change
itself; a relay sends it to Kafka afterwards. Published rows are kept for a while. When
the broker has lost its data they can be sent again.`,
		Args: cobra.NoArgs,
		RunE: help,
	}
	o.addAs(cmd)
	cmd.AddCommand(outboxStatsCommand(o), outboxRepublishCommand(o), outboxHoldCommand(o), outboxReleaseCommand(o))
	return cmd
}

func outboxStatsCommand(o *operator) *cobra.Command {
	var service string
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Counts what is unpublished and what is kept, by service",
		Long: `Counts the rows of every service's outbox. UNPUBLISHED wait for the relay, the oldest of
them since OLDEST; that they grow says that the broker is away or refuses them, and what it
refuses is listed, with the reason. KEPT are published and can be published again, back to
SINCE. --json has the table's partitions and the relays' leases.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := o.fleet()
			if err != nil {
				return err
			}
			groups, err := f.Only(service)
			if err != nil {
				return err
			}
			defer o.asking()()
			answers := operators.AskAll(cmd.Context(), groups, func(ctx context.Context, c *operators.Client) (operators.Outbox, error) { return c.Outbox(ctx) })
			if o.asJSON {
				type item struct {
					Service string `json:"service"`
					operators.Outbox
				}
				items := []item{}
				for _, a := range answers {
					if a.Err == nil {
						items = append(items, item{a.From, a.Value})
					}
				}
				err = printJSON(o.out, struct {
					Outboxes    []item    `json:"outboxes"`
					Unreachable []missing `json:"unreachable,omitempty"`
				}{items, missingOf(answers)})
			} else {
				err = o.printOutboxes(answers)
			}
			if err != nil {
				return err
			}
			return unanswered(operators.Failures(answers))
		},
	}
	cmd.Flags().StringVar(&service, "service", "", "only this one")
	o.addJSON(cmd)
	return cmd
}

// roughly marks a number that is an estimate.
func roughly(n int64, estimated bool) string {
	if estimated {
		return "~" + strconv.FormatInt(n, 10)
	}
	return strconv.FormatInt(n, 10)
}

func (o *operator) printOutboxes(answers []operators.Answer[operators.Outbox]) error {
	var rows, backlog, refused [][]string
	for _, a := range answers {
		if a.Err != nil {
			rows = append(rows, []string{a.From, "?", "?", "?", "?", "?"})
			continue
		}
		x := a.Value
		oldest, kept, bytes := "-", "-", int64(0)
		if x.Unpublished > 0 {
			oldest = span(time.Duration(x.OldestAgeSeconds * float64(time.Second)))
		}
		if !x.OldestKept.IsZero() {
			kept = x.OldestKept.Format(time.RFC3339)
		}
		for _, p := range x.Partitions {
			bytes += p.Bytes
		}
		rows = append(rows, []string{a.From, roughly(x.Unpublished, x.UnpublishedEstimated), oldest, strconv.FormatInt(x.Published, 10), kept, fmt.Sprintf("%.1f", float64(bytes)/(1<<20))})
		for _, t := range x.Topics {
			if t.Unpublished > 0 {
				backlog = append(backlog, []string{a.From, line(t.Topic, 0), roughly(t.Unpublished, x.UnpublishedEstimated)})
			}
		}
		for _, r := range x.Refused {
			key := line(r.Key, 40)
			if r.WholeTopic {
				key = "(all)"
			}
			refused = append(refused, []string{a.From, line(r.Topic, 0), key, r.Since.Format(time.RFC3339), number(r.Attempts), line(r.Reason, 0)})
		}
	}
	if err := table(o.out, "SERVICE UNPUBLISHED OLDEST KEPT SINCE MB", rows); err != nil || len(backlog) == 0 {
		return err
	}
	fmt.Fprintln(o.out, "\nunpublished:")
	if err := table(o.out, "SERVICE TOPIC ROWS", backlog); err != nil || len(refused) == 0 {
		return err
	}
	fmt.Fprintln(o.out, "\nrefused by the broker, and tried again:")
	return table(o.out, "SERVICE TOPIC KEY SINCE TRIES REASON", refused)
}

func outboxRepublishCommand(o *operator) *cobra.Command {
	var service, since, until string
	var s operators.Selection
	var yes bool
	cmd := &cobra.Command{
		Use:   "republish",
		Short: "Has published events sent to Kafka again, as they were",
		Long: `Marks published rows of the outboxes as unpublished, so that the relays send them again:
same ids, bytes and headers, an order's events in their order. Consumers know the ids, so
what they have handled has no second effect; what they have not, they get.

It is for a broker that has lost its data; see ` + "`shop outbox hold`" + ` for how to keep new events
from coming ahead of the old ones. --until also takes what came later of the same orders.
--dry-run counts.`,
		Example: `  shop outbox republish --dry-run
  shop outbox republish --service payment --topic payment.events --since 2h --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			var err error
			if s.Since, err = parseWhen("since", since, now); err != nil {
				return err
			}
			if s.Until, err = parseWhen("until", until, now); err != nil {
				return err
			}
			f, err := o.fleet()
			if err != nil {
				return err
			}
			groups, err := f.Only(service)
			if err != nil {
				return err
			}
			if !s.DryRun && !yes {
				count := s
				count.DryRun = true
				if err := o.republish(cmd.Context(), groups, count); err != nil {
					return err
				}
				if err := confirm(cmd, "publish them again?"); err != nil {
					return err
				}
			}
			return o.republish(cmd.Context(), groups, s)
		},
	}
	cmd.Flags().StringVar(&service, "service", "", "only of this service's outbox")
	cmd.Flags().StringArrayVar(&s.Topics, "topic", nil, "only for this topic (repeatable)")
	cmd.Flags().StringVar(&since, "since", "", "only written since: 1h, 7d, 2026-01-31 or RFC 3339")
	cmd.Flags().StringVar(&until, "until", "", "only written before, in the same forms")
	cmd.Flags().BoolVar(&s.DryRun, "dry-run", false, "only count")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// republish publishes rows of one outbox after another again and prints the numbers.
func (o *operator) republish(ctx context.Context, groups []operators.Group, s operators.Selection) error {
	verb := "will be published again"
	if s.DryRun {
		verb = "would be published again"
	}
	p := term.Start(o.errOut, "marking rows of the outboxes", 0)
	defer p.Stop()
	var failed []error
	for i, g := range groups {
		p.Of(i, len(groups))
		rows, err := g.Republish(ctx, s)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", g.Name, err))
			continue
		}
		fmt.Fprintf(o.out, "%-10s %s %s\n", g.Name, plural(int(rows), "row", "rows"), verb)
	}
	if len(failed) > 0 {
		return fmt.Errorf("not all was done:\n%w", errors.Join(failed...))
	}
	return nil
}

func outboxHoldCommand(o *operator) *cobra.Command {
	var service, reason string
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Lets nothing be published until it is released",
		Long: `Stops the relays, also those of processes that start later. Events are appended meanwhile
and wait, and the services are not ready and say why.

When a broker has lost its data: hold, bring the empty broker up with its topics (shop up),
republish, release. What was published before then comes first again, in order.`,
		Example: `  shop outbox hold --reason "the broker lost its disk"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.eachOutbox(service, "publishes nothing until it is released", func(g operators.Group) error { return g.Hold(cmd.Context(), reason) })
		},
	}
	cmd.Flags().StringVar(&service, "service", "", "only this one")
	cmd.Flags().StringVar(&reason, "reason", "", "why; shown where the service says that it is not ready")
	_ = cmd.MarkFlagRequired("reason") // the flag exists
	return cmd
}

func outboxReleaseCommand(o *operator) *cobra.Command {
	var service string
	cmd := &cobra.Command{
		Use:   "release",
		Short: "Ends a hold",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.eachOutbox(service, "publishes again", func(g operators.Group) error { return g.Release(cmd.Context()) })
		},
	}
	cmd.Flags().StringVar(&service, "service", "", "only this one")
	return cmd
}

// eachOutbox applies do to the outboxes of all services in parallel and prints the results. With a
// dead broker each call takes long; in sequence, the later outboxes would continue meanwhile.
func (o *operator) eachOutbox(service, done string, do func(g operators.Group) error) error {
	f, err := o.fleet()
	if err != nil {
		return err
	}
	groups, err := f.Only(service)
	if err != nil {
		return err
	}
	p := term.Start(o.errOut, "waiting for the relays", operators.HoldWithin)
	defer p.Stop()
	failures := make([]error, len(groups))
	var all sync.WaitGroup
	for i, g := range groups {
		all.Go(func() { failures[i] = do(g) })
	}
	all.Wait()
	for i, g := range groups {
		if failures[i] != nil {
			failures[i] = fmt.Errorf("%s: %w", g.Name, failures[i])
			continue
		}
		fmt.Fprintf(o.out, "%-10s %s\n", g.Name, done)
	}
	return errors.Join(failures...)
}
