package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/ops/operators"
)

// selection has the flags with which resubmit and discard select dead letters.
type selection struct {
	filters filterFlags
	all     bool
	dryRun  bool
}

func (s *selection) add(cmd *cobra.Command) {
	s.filters.add(cmd)
	cmd.Flags().BoolVar(&s.all, "all", false, "all that the filters select, instead of IDs")
	cmd.Flags().BoolVar(&s.dryRun, "dry-run", false, "only say what would be done")
}

// byFilter reports whether filters select. IDs and filters exclude each other.
func (s *selection) byFilter(cmd *cobra.Command, args []string) (bool, error) {
	filtered := s.all || s.filters.given(cmd)
	switch {
	case filtered && len(args) > 0:
		return false, errors.New("either IDs or --all and filters, not both")
	case !filtered && len(args) == 0:
		return false, errors.New("which? give IDs, or --all with or without filters")
	}
	return filtered, nil
}

// targets finds the dead letters. missing lists the groups that could not be asked.
func (s *selection) targets(ctx context.Context, f *operators.Fleet, byFilter bool, args []string) (found []operators.Target, missing []error, err error) {
	if !byFilter {
		letters, err := locate(ctx, f, args)
		for _, l := range letters {
			found = append(found, operators.Target{Group: l.group, ID: l.detail.ID})
		}
		return found, nil, err
	}
	filter, err := s.filters.filter(time.Now())
	if err != nil {
		return nil, nil, err
	}
	groups, err := f.Only(s.filters.group)
	if err != nil {
		return nil, nil, err
	}
	answers := operators.ListAll(ctx, groups, filter, 0)
	for i, a := range answers {
		for _, d := range a.Value.DeadLetters {
			found = append(found, operators.Target{Group: groups[i], ID: d.ID})
		}
	}
	return found, operators.Failures(answers), nil
}

func dlqResubmitCommand(o *operator) *cobra.Command {
	var which selection
	var reason string
	var wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "resubmit ID… | --all [filters]",
		Short: "Has dead letters tried again, as they are or as they were edited",
		Long: `Has dead letters tried again by the service that gave them up, and by no other: as they
came, or as they were edited. A key that waits goes on in order once its dead letter is
resolved. Attempts are counted from 0 again; when they are spent, the same dead letter
is open again.

Resubmitting one that is not open has no effect, so doing it twice has one effect. IDs
may be abbreviated (see "shop dlq show"). With --wait the command stays until each is
resolved or open again. The exit code is 1 if any failed, and with --wait if any is not
resolved.`,
		Example: `  shop dlq resubmit 0198c1d2-… --wait
  shop dlq resubmit --all --group payment --type OrderCreated --since 2h --dry-run
  shop dlq resubmit --all --class internal --reason "fixed in 1.4.2"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			byFilter, err := which.byFilter(cmd, args)
			if err != nil {
				return err
			}
			f, err := o.fleet()
			if err != nil {
				return err
			}
			targets, missing, err := which.targets(cmd.Context(), f, byFilter, args)
			if err != nil {
				return err
			}
			b := bulk{
				verb: "resubmitted", dryRun: which.dryRun, progress: cmd.ErrOrStderr(),
				act: func(ctx context.Context, c *operators.Client, id string) (operators.Outcome, error) {
					return c.Resubmit(ctx, id, reason, which.dryRun)
				},
			}
			r := b.run(cmd.Context(), targets)
			if wait && !which.dryRun {
				ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
				defer cancel()
				r.await(ctx)
			}
			return o.finish(r, missing)
		},
	}
	which.add(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit trail")
	cmd.Flags().BoolVar(&wait, "wait", false, "stay until each is resolved or open again, and say which")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long --wait waits")
	o.addJSON(cmd)
	return cmd
}

func dlqDiscardCommand(o *operator) *cobra.Command {
	var which selection
	var reason string
	var yes bool
	cmd := &cobra.Command{
		Use:   "discard ID… | [filters] --reason TEXT",
		Short: "Gives dead letters up for good and lets what waits behind them go on",
		Long: `Gives open dead letters up for good: the service never handles the record, and the
records that wait behind it go on in order. It cannot be taken back. The record stays
shown for 30 days, with the reason and who gave it.

What filters select is counted and asked about first, unless --yes is given.`,
		Example: `  shop dlq discard 0198c1d2-… --reason "test data of 3 May"
  shop dlq discard --type unknown --until 7d --reason "rubbish of a stranger" --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			byFilter, err := which.byFilter(cmd, args)
			if err != nil {
				return err
			}
			if reason == "" {
				return errors.New("--reason: it is needed, because discarding cannot be taken back")
			}
			f, err := o.fleet()
			if err != nil {
				return err
			}
			targets, missing, err := which.targets(cmd.Context(), f, byFilter, args)
			if err != nil {
				return err
			}
			if byFilter && !yes && !which.dryRun && len(targets) > 0 {
				question := fmt.Sprintf("discard %s for good (%s)?", plural(len(targets), "dead letter", "dead letters"), perGroup(targets))
				if err := confirm(cmd, question); err != nil {
					return err
				}
			}
			b := bulk{
				verb: "discarded", dryRun: which.dryRun, progress: cmd.ErrOrStderr(),
				act: func(ctx context.Context, c *operators.Client, id string) (operators.Outcome, error) {
					return c.Discard(ctx, id, reason, which.dryRun)
				},
			}
			return o.finish(b.run(cmd.Context(), targets), missing)
		},
	}
	which.add(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit trail (required)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	o.addJSON(cmd)
	return cmd
}
