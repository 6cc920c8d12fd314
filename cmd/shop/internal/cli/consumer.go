package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/ops/operators"
)

func consumerCommand(e *env) *cobra.Command {
	o := &operator{env: e}
	cmd := &cobra.Command{
		Use:   "consumer",
		Short: "The services' consumers: passing a record over that nothing can store",
		Args:  cobra.NoArgs,
		RunE:  help,
	}
	o.addAs(cmd)
	cmd.AddCommand(consumerSkipCommand(o), consumerSkipsCommand(o))
	return cmd
}

func consumerSkipCommand(o *operator) *cobra.Command {
	var service, reason string
	cmd := &cobra.Command{
		Use:   "skip TOPIC/PARTITION/OFFSET --service NAME --reason TEXT",
		Short: "Has a consumer pass a record over that waits and cannot be stored",
		Long: `Has a service's consumer pass over the record that a partition waits for, without any
effect. It is the last resort: a record that fails is tried again, one that is given up is
a dead letter ("shop dlq"), and what the environment refuses goes on by itself. Only a
record that not even a dead letter takes waits for an operator; "shop status" shows it as
the reason why a service is not ready, in the form this command takes. The place may be on
a retry topic, too.

The consumer skips the record at its next try, within half a minute, and only while its
partition waits for it. Who asked, when and why is kept for ever: "shop consumer skips".
The record itself stays on its topic.`,
		Example: `  shop consumer skip order.events/3/1042 --service payment --reason "a 2 MB key that no index takes"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, partition, offset, err := parsePlace(args[0])
			if err != nil {
				return err
			}
			switch {
			case service == "":
				return errors.New("--service: it is needed, because every service that reads the topic decides for itself")
			case reason == "":
				return errors.New("--reason: it is needed, because skipping cannot be taken back")
			}
			f, err := o.fleet()
			if err != nil {
				return err
			}
			g, err := f.Group(service)
			if err != nil {
				return err
			}
			k, err := operators.Change(cmd.Context(), g, func(ctx context.Context, c *operators.Client) (operators.Skip, error) {
				return c.Skip(ctx, topic, partition, offset, reason)
			})
			if err != nil {
				return err
			}
			if o.asJSON {
				return printJSON(o.out, k)
			}
			if !k.SkippedAt.IsZero() {
				fmt.Fprintf(o.out, "%s was skipped by %s at %s, as %s asked\n", args[0], service, k.SkippedAt.Format(time.RFC3339), line(k.Actor, 0))
				return nil
			}
			fmt.Fprintf(o.out, "%s will skip %s at its next try, if its partition waits for it\n", service, args[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&service, "service", "", "whose consumer")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit trail")
	o.addJSON(cmd)
	return cmd
}

func consumerSkipsCommand(o *operator) *cobra.Command {
	var service string
	cmd := &cobra.Command{
		Use:   "skips",
		Short: "Lists the records that operators had skipped: who, when and why",
		Args:  cobra.NoArgs,
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
			answers := operators.AskAll(cmd.Context(), groups, func(ctx context.Context, c *operators.Client) ([]operators.Skip, error) {
				return c.Skips(ctx, operators.MaxPage)
			})
			type item struct {
				Service string `json:"service"`
				operators.Skip
			}
			items, rows := []item{}, [][]string{}
			for _, a := range answers {
				for _, k := range a.Value {
					items = append(items, item{a.From, k})
					skipped := "not yet"
					if !k.SkippedAt.IsZero() {
						skipped = k.SkippedAt.Format(time.RFC3339)
					}
					rows = append(rows, []string{a.From, line(fmt.Sprintf("%s/%d/%d", k.Topic, k.Partition, k.Offset), 0),
						k.AskedAt.Format(time.RFC3339), skipped, line(k.Actor, 20), line(k.Reason, 60)})
				}
			}
			if o.asJSON {
				err = printJSON(o.out, struct {
					Skips       []item    `json:"skips"`
					Unreachable []missing `json:"unreachable,omitempty"`
				}{items, missingOf(answers)})
			} else {
				err = table(o.out, "SERVICE RECORD ASKED SKIPPED BY REASON", rows)
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

// parsePlace parses TOPIC/PARTITION/OFFSET. Names of topics contain no slash.
func parsePlace(s string) (topic string, partition int32, offset int64, err error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || parts[0] == "" {
		return "", 0, 0, fmt.Errorf("%q is not TOPIC/PARTITION/OFFSET, for example order.events/3/1042", s)
	}
	p, errP := strconv.ParseInt(parts[1], 10, 32)
	offset, errO := strconv.ParseInt(parts[2], 10, 64)
	if errP != nil || errO != nil || p < 0 || offset < 0 {
		return "", 0, 0, fmt.Errorf("%q is not TOPIC/PARTITION/OFFSET: partition and offset are numbers from 0", s)
	}
	return parts[0], int32(p), offset, nil
}
