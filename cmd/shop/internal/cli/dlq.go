package cli

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/ops/operators"
)

const dlqHelp = `Records that a service could not handle.

A record whose handling fails is first tried again by itself, through a retry topic and
with growing pauses. Meanwhile its key (the order's id) is parked: later records of the
same order wait behind it in that service, other orders go on. When the attempts are
spent, or when no repetition can help (bytes that are no event, a broken rule), the
record becomes a dead letter. Its key stays parked until an operator decides:

  resubmit   try it again, as it is or edited. Twice has one effect
  edit       repair its payload, headers or key first; the original stays known
  discard    give it up for good, with a reason; what waits behind it goes on

Every service keeps its own dead letters (group = service), in its own database, with a
copy on the topic "<topic>.<group>.dlq". Whatever is done to one is in its audit trail
with the name of who did it (--as).`

const dlqExample = `  shop dlq stats                              how many, where
  shop dlq list --group payment --since 1h    which ones
  shop dlq show 0198c1d2-…                    why, with payload and audit trail
  shop dlq resubmit 0198c1d2-… --wait         try it again and say what became of it
  shop dlq resubmit --all --class internal    after the bug was mended
  shop dlq discard 0198c1d2-… --reason "test data"`

func dlqCommand(e *env) *cobra.Command {
	o := &operator{env: e}
	cmd := &cobra.Command{
		Use:     "dlq",
		Aliases: []string{"dead-letters"},
		Short:   "Dead letters: lists, shows, repairs, resubmits and discards them",
		Long:    dlqHelp,
		Example: dlqExample,
		Args:    cobra.NoArgs,
		RunE:    help,
	}
	o.addAs(cmd)
	cmd.AddCommand(dlqListCommand(o), dlqShowCommand(o), dlqEditCommand(o), dlqResubmitCommand(o),
		dlqDiscardCommand(o), dlqStatsCommand(o), parkedCommand(o))
	return cmd
}

// filterFlags select dead letters.
type filterFlags struct {
	group, topic, eventType, class, status, key, since, until string
}

func (f *filterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.group, "group", "", "only this service's (order, payment, …)")
	cmd.Flags().StringVar(&f.eventType, "type", "", "only of this event type (PaymentCompleted, …)")
	cmd.Flags().StringVar(&f.class, "class", "", "only of this error class (hopeless, invalid, internal, …)")
	cmd.Flags().StringVar(&f.status, "status", string(operators.Open), "open, resubmitted, resolved, discarded or all")
	cmd.Flags().StringVar(&f.topic, "topic", "", "only from this topic (order.events, …)")
	cmd.Flags().StringVar(&f.key, "key", "", "only of this key: the order's id")
	cmd.Flags().StringVar(&f.since, "since", "", "only given up since: 1h, 7d, 2026-01-31 or RFC 3339")
	cmd.Flags().StringVar(&f.until, "until", "", "only given up before, in the same forms")
}

// given reports whether the user has set a filter flag.
func (f *filterFlags) given(cmd *cobra.Command) bool {
	return slices.ContainsFunc([]string{"group", "type", "class", "status", "topic", "key", "since", "until"}, cmd.Flags().Changed)
}

func (f *filterFlags) filter(now time.Time) (operators.Filter, error) {
	filter := operators.Filter{Status: operators.Status(f.status), Topic: f.topic, Type: f.eventType, Class: f.class, Key: f.key}
	if !slices.Contains([]operators.Status{operators.Open, operators.Resubmitted, operators.Resolved, operators.Discarded, operators.AnyStatus}, filter.Status) {
		return filter, fmt.Errorf("--status: %q is none of open, resubmitted, resolved, discarded and all", f.status)
	}
	var err error
	if filter.Since, err = parseWhen("since", f.since, now); err != nil {
		return filter, err
	}
	filter.Until, err = parseWhen("until", f.until, now)
	return filter, err
}

func dlqListCommand(o *operator) *cobra.Command {
	var flags filterFlags
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists dead letters of all services, oldest first",
		Long: `Lists dead letters of all services, oldest first; the open ones unless --status says
otherwise. WAIT is how many records of the same key wait behind it. A service that does
not answer is named, the others are shown, and the exit code is 1.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return fmt.Errorf("--limit: %d is not at least 1", limit)
			}
			now := time.Now()
			filter, err := flags.filter(now)
			if err != nil {
				return err
			}
			f, err := o.fleet()
			if err != nil {
				return err
			}
			groups, err := f.Only(flags.group)
			if err != nil {
				return err
			}
			defer o.asking()()
			answers := operators.ListAll(cmd.Context(), groups, filter, limit)
			found, truncated := []operators.Summary{}, false
			for _, a := range answers {
				found = append(found, a.Value.DeadLetters...)
				truncated = truncated || a.Value.More
			}
			slices.SortFunc(found, func(a, b operators.Summary) int { return cmp.Compare(a.ID, b.ID) }) // UUIDv7: by time
			if len(found) > limit {
				found, truncated = found[:limit], true
			}
			if o.asJSON {
				err = printJSON(o.out, struct {
					DeadLetters []operators.Summary `json:"deadLetters"`
					Truncated   bool                `json:"truncated,omitempty"`
					Unreachable []missing           `json:"unreachable,omitempty"`
				}{found, truncated, missingOf(answers)})
			} else {
				err = o.printList(found, truncated, now)
			}
			if err != nil {
				return err
			}
			return unanswered(operators.Failures(answers))
		},
	}
	flags.add(cmd)
	o.addJSON(cmd)
	cmd.Flags().IntVar(&limit, "limit", 200, "show at most so many, the oldest")
	return cmd
}

// missing is a process that did not answer, in JSON.
type missing struct {
	Name  string `json:"name"`
	Error string `json:"error"`
}

func missingOf[T any](answers []operators.Answer[T]) []missing {
	var out []missing
	for _, a := range answers {
		if a.Err != nil {
			out = append(out, missing{a.From, a.Err.Error()})
		}
	}
	return out
}

func (o *operator) printList(found []operators.Summary, truncated bool, now time.Time) error {
	if len(found) == 0 {
		fmt.Fprintln(o.out, "no dead letters")
		return nil
	}
	rows := make([][]string, len(found))
	for i, d := range found {
		status := string(d.Status)
		if d.Edited {
			status += ", edited"
		}
		rows[i] = []string{d.ID, d.Group, line(d.EventType, 40), keyText(d.KeyText(), d.KeyBase64), d.ErrorClass, number(d.Attempts),
			number(d.Followers), since(d.CreatedAt, now), status, line(d.ErrorMessage, 60)}
	}
	if err := table(o.out, "ID GROUP TYPE KEY CLASS TRIES WAIT AGE STATUS ERROR", rows); err != nil {
		return err
	}
	if truncated {
		fmt.Fprintf(o.out, "… and more; --limit shows them, filters narrow them down\n")
	}
	return nil
}

// keyText formats a key; a key that is not text is in base64.
func keyText(text, inBase64 string) string {
	if inBase64 == "" {
		return line(text, 40)
	}
	if b, err := base64.StdEncoding.DecodeString(inBase64); err == nil && len(b) == 0 {
		return "-"
	}
	return line("base64:"+inBase64, 40)
}
