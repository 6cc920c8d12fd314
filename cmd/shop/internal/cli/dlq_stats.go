package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/ops/operators"
)

func dlqStatsCommand(o *operator) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Counts dead letters and parked keys, by service",
		Long: `Counts dead letters and parked keys, by service:

  OPEN         no operator has decided yet; OLDEST is how long the first of them waits
  RESUBMITTED  on their way through the retry topic
  RETRYING     keys whose first record will be tried again by itself
  DEAD         keys that wait for a decision about a dead letter
  WAITING      records that wait behind these keys
  OVERDUE      retries that should have been made 10 minutes ago: is the service up,
               has the broker lost its data (shop outbox republish)?`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := o.fleet()
			if err != nil {
				return err
			}
			defer o.asking()()
			answers := operators.AskAll(cmd.Context(), f.Groups, func(ctx context.Context, c *operators.Client) (operators.Stats, error) { return c.Stats(ctx) })
			if o.asJSON {
				stats := []operators.Stats{}
				for _, a := range answers {
					if a.Err == nil {
						stats = append(stats, a.Value)
					}
				}
				err = printJSON(o.out, struct {
					Groups      []operators.Stats `json:"groups"`
					Unreachable []missing         `json:"unreachable,omitempty"`
				}{stats, missingOf(answers)})
			} else {
				err = o.printStats(answers, time.Now())
			}
			if err != nil {
				return err
			}
			return unanswered(operators.Failures(answers))
		},
	}
	o.addJSON(cmd)
	return cmd
}

func (o *operator) printStats(answers []operators.Answer[operators.Stats], now time.Time) error {
	var groups, open [][]string
	for _, a := range answers {
		s := a.Value
		if a.Err != nil {
			groups = append(groups, []string{a.From, "?", "?", "?", "?", "?", "?", "?"})
			continue
		}
		groups = append(groups, []string{a.From, number(s.Open), number(s.Resubmitted), since(s.OldestOpen, now),
			number(s.ParkedKeys.Retrying), number(s.ParkedKeys.Dead), number(s.ParkedRecords), number(s.OverdueRetries)})
		for _, t := range s.ByType {
			open = append(open, []string{a.From, line(t.EventType, 40), t.ErrorClass, number(t.Open)})
		}
	}
	if err := table(o.out, "GROUP OPEN RESUBMITTED OLDEST RETRYING DEAD WAITING OVERDUE", groups); err != nil || len(open) == 0 {
		return err
	}
	fmt.Fprintln(o.out, "\nopen:")
	return table(o.out, "GROUP TYPE CLASS OPEN", open)
}

// parkedCommand is both `shop dlq parked` and `shop parked`.
func parkedCommand(o *operator) *cobra.Command {
	var group string
	var limit int
	cmd := &cobra.Command{
		Use:   "parked",
		Short: "Lists the keys whose records wait, and for what",
		Long: `Lists the parked keys of all services. The first record of such a key has failed in that
service; the key's later records (WAIT) follow it in order.

  retrying   it will be tried again by itself, at the time in NEXT
  dead       it is a dead letter: resubmit or discard the one named in DEAD-LETTER`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > operators.MaxPage {
				return fmt.Errorf("--limit: %d is not 1 to %d", limit, operators.MaxPage)
			}
			f, err := o.fleet()
			if err != nil {
				return err
			}
			groups, err := f.Only(group)
			if err != nil {
				return err
			}
			defer o.asking()()
			answers := operators.AskAll(cmd.Context(), groups, func(ctx context.Context, c *operators.Client) ([]operators.ParkedKey, error) {
				return c.Parked(ctx, limit)
			})
			type key struct {
				Group string `json:"group"`
				operators.ParkedKey
			}
			keys := []key{}
			for _, a := range answers {
				for _, k := range a.Value {
					keys = append(keys, key{a.From, k})
				}
			}
			if o.asJSON {
				if err := printJSON(o.out, struct {
					ParkedKeys  []key     `json:"parkedKeys"`
					Unreachable []missing `json:"unreachable,omitempty"`
				}{keys, missingOf(answers)}); err != nil {
					return err
				}
				return unanswered(operators.Failures(answers))
			}
			now := time.Now()
			var rows [][]string
			for _, k := range keys {
				next, dead := "-", "-"
				if k.State == operators.Dead {
					dead = k.Head
				} else {
					next = until(k.NotBefore, now)
				}
				rows = append(rows, []string{k.Group, k.Topic, keyText(k.KeyText(), k.KeyBase64), string(k.State), line(k.EventType, 40),
					number(k.Attempts), number(k.Followers), since(k.ParkedAt, now), next, dead, line(k.LastError, 60)})
			}
			if len(rows) == 0 {
				fmt.Fprintln(o.out, "no parked keys")
			} else if err := table(o.out, "GROUP TOPIC KEY STATE TYPE TRIES WAIT PARKED NEXT DEAD-LETTER ERROR", rows); err != nil {
				return err
			}
			for _, a := range answers {
				if len(a.Value) == limit {
					fmt.Fprintf(o.out, "%s may have more than these %d; see `shop dlq stats`\n", a.From, limit)
				}
			}
			return unanswered(operators.Failures(answers))
		},
	}
	o.addJSON(cmd)
	cmd.Flags().StringVar(&group, "group", "", "only this service's (order, payment, …)")
	cmd.Flags().IntVar(&limit, "limit", 200, "show at most so many of each service")
	return cmd
}

// until formats the time from now to then.
func until(then, now time.Time) string {
	if !then.After(now) {
		return "due"
	}
	return "in " + span(then.Sub(now))
}
