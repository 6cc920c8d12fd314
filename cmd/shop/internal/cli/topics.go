package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/eventshop"
	"eventshop.example/ops/topics"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/service"
)

// topicsFlags are the flags of both commands.
type topicsFlags struct {
	brokers string
	wait    time.Duration
	json    bool
}

func topicsCommand(e *env) *cobra.Command {
	var f topicsFlags
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Compares the topics of a cluster with those declared, and makes them so",
	}
	cmd.PersistentFlags().StringVar(&f.brokers, "brokers", "", "host:port,… of the cluster, secured as KAFKA_TLS… and KAFKA_SASL_… say (default the shop's own)")
	cmd.PersistentFlags().DurationVar(&f.wait, "wait", time.Minute, "how long to wait for the cluster to answer")
	cmd.PersistentFlags().BoolVar(&f.json, "json", false, "one JSON document instead of lines")
	cmd.AddCommand(topicsDiffCommand(e, &f), topicsApplyCommand(e, &f))
	return cmd
}

func topicsDiffCommand(e *env, f *topicsFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "diff",
		Short: "Lists what differs; exit code 1 when something does that apply would change",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.compared(cmd.Context(), e, func(_ context.Context, _ *kgo.Client, diffs []topics.Difference) error {
				if err := f.print(e, section{"differences", diffs}); err != nil {
					return err
				}
				if len(diffs) == 0 && !f.json {
					fmt.Fprintln(e.out, "all topics are as declared")
				}
				return differing(diffs)
			})
		},
	}
}

func topicsApplyCommand(e *env, f *topicsFlags) *cobra.Command {
	var o topics.Options
	var quiet bool
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Creates topics and changes settings until they are as declared; deletes nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.compared(cmd.Context(), e, func(ctx context.Context, client *kgo.Client, diffs []topics.Difference) error {
				done, left, err := topics.Apply(ctx, client, diffs, o)
				if err != nil {
					return err
				}
				if quiet {
					done = nil
				}
				if err := f.print(e, section{"done", done}, section{"left", left}); err != nil {
					return err
				}
				return differing(left)
			})
		},
	}
	cmd.Flags().Int16Var(&o.Replication, "replication", 0, "copies of a new topic (default the cluster's own)")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "list only what still differs")
	cmd.Flags().BoolVar(&o.Grow, "grow", false, "give topics more partitions; their keys move, so drain the producers first")
	return cmd
}

// kafkaSecurity reads the same environment variables as the services.
func kafkaSecurity() (kafka.Security, error) {
	env := service.NewEnv(os.LookupEnv)
	s := kafka.SecurityFromEnv(env)
	return s, env.Err()
}

// differing returns the error of a command that found differences; unknown topics are no error.
func differing(diffs []topics.Difference) error {
	n := 0
	for _, d := range diffs {
		if d.Kind != topics.Unknown {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d differences", n)
	}
	return nil
}

// section is a part of the output.
type section struct {
	name  string
	diffs []topics.Difference
}

func (f *topicsFlags) print(e *env, sections ...section) error {
	document := map[string][]topics.Difference{}
	for _, s := range sections {
		document[s.name] = append([]topics.Difference{}, s.diffs...) // never null
		for _, d := range s.diffs {
			if !f.json {
				fmt.Fprintf(e.out, "%-12s %s\n", s.name+":", d)
			}
		}
	}
	if f.json {
		return printJSON(e.out, document)
	}
	return nil
}

// compared connects to the cluster, waits until it answers, and calls do with the differences.
func (f *topicsFlags) compared(ctx context.Context, e *env, do func(ctx context.Context, client *kgo.Client, diffs []topics.Difference) error) error {
	security, err := kafkaSecurity()
	if err != nil {
		return err
	}
	cluster := kafka.Cluster{Brokers: strings.FieldsFunc(f.brokers, func(r rune) bool { return r == ',' }), Security: security}
	if len(cluster.Brokers) == 0 {
		s, err := e.live()
		if err != nil {
			return fmt.Errorf("%w; --brokers HOST:PORT names a cluster elsewhere", err)
		}
		cluster = s.File().Cluster()
	}
	client, err := cluster.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	waiting, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	p := term.Start(e.errOut, "waiting for an answer from "+strings.Join(cluster.Brokers, ","), f.wait)
	defer p.Stop()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		if err = client.Ping(waiting); err == nil {
			p.Note("comparing and changing topics")
			diffs, err := topics.Compare(ctx, client, eventshop.Topics())
			if err != nil {
				return err
			}
			return do(ctx, client, diffs)
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
			return fmt.Errorf("no answer from %s within %s: %w", strings.Join(cluster.Brokers, ","), f.wait, err)
		}
	}
}
