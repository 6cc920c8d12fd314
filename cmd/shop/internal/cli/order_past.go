package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/story"
)

// past is what the flags of `shop order` ask about an earlier state.
type past struct {
	asOf    string
	version int64
	diff    string
}

func (p *past) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.asOf, "as-of", "", "show the order as it was at a time (2026-01-31T12:00:00Z) or so long ago (1h30m, 7d)")
	cmd.Flags().Int64Var(&p.version, "version", 0, "show the order as of a version of its stream")
	cmd.Flags().StringVar(&p.diff, "diff", "", "show what changed between two versions, such as 3..5")
	cmd.MarkFlagsMutuallyExclusive("as-of", "version", "diff", "follow")
}

// asked returns what to do for the flags that were given; nil if there are none. It checks the flags
// before anything is asked.
func (p *past) asked(cmd *cobra.Command, o *operator) (func(ctx context.Context, service, orderID string) error, error) {
	switch {
	case cmd.Flags().Changed("diff"):
		from, to, err := parseVersions(p.diff)
		return func(ctx context.Context, service, orderID string) error {
			return o.printDiff(ctx, service, orderID, from, to)
		}, err
	case cmd.Flags().Changed("version"):
		if p.version < 1 {
			return nil, fmt.Errorf("--version: versions begin at 1, not %d", p.version)
		}
		return o.printPast(story.Moment{Version: p.version}), nil
	case cmd.Flags().Changed("as-of"):
		at, err := parseWhen("as-of", p.asOf, time.Now())
		if err == nil && at.IsZero() {
			err = fmt.Errorf("--as-of needs a time")
		}
		return o.printPast(story.Moment{AsOf: at}), err
	}
	return nil, nil
}

// parseVersions parses A..B.
func parseVersions(s string) (from, to int64, err error) {
	a, b, found := strings.Cut(s, "..")
	if found {
		if from, err = strconv.ParseInt(a, 10, 64); err == nil {
			to, err = strconv.ParseInt(b, 10, 64)
		}
	}
	if !found || err != nil || from < 1 || to < 1 {
		return 0, 0, fmt.Errorf("--diff: %q is not two versions, such as 3..5", s)
	}
	return from, to, nil
}

func (o *operator) printPast(m story.Moment) func(ctx context.Context, service, orderID string) error {
	return func(ctx context.Context, service, orderID string) error {
		then, err := story.Past(ctx, service, orderID, m)
		if err != nil {
			return err
		}
		if o.asJSON {
			return printJSON(o.out, then.Document)
		}
		fmt.Fprintf(o.out, "order %s  %s  version %d\n", orderID, term.State(o.out, harmless(then.Status, 40)), then.Version)
		fmt.Fprintf(o.out, "last event: %s, recorded %s, by %s", harmless(then.Last.Type, 60), then.Last.RecordedAt.Local().Format(time.RFC3339Nano), harmless(then.Last.Actor, 40))
		if then.Last.CausedBy != "" {
			fmt.Fprintf(o.out, " (%s)", harmless(then.Last.CausedBy, 60))
		}
		fmt.Fprintf(o.out, "\n%s %s, placed %s, to be confirmed by %s, customer %s\n", harmless(then.TotalAmount.String(), 40), harmless(then.Currency, 10),
			then.PlacedAt.Local().Format(time.RFC3339Nano), then.ConfirmBy.Local().Format(time.RFC3339Nano), harmless(then.CustomerID, 64))
		for _, item := range then.Items {
			fmt.Fprintf(o.out, "  %d × %s at %s\n", item.Quantity, harmless(item.SKU, 64), harmless(item.UnitPrice.String(), 40))
		}
		if then.TrackingID != "" {
			fmt.Fprintf(o.out, "tracking %s\n", harmless(then.TrackingID, 80))
		}
		if c := then.Cancellation; c != nil {
			fmt.Fprintf(o.out, "cancellation: %s%s\n", harmless(c.Reason, 60), detail(c.Detail))
		}
		if c := then.Attention; c != nil {
			fmt.Fprintf(o.out, "needs attention: %s%s\n", harmless(c.Reason, 60), detail(c.Detail))
		}
		return nil
	}
}

func (o *operator) printDiff(ctx context.Context, service, orderID string, from, to int64) error {
	d, err := story.Compare(ctx, service, orderID, from, to)
	switch {
	case err != nil:
		return err
	case o.asJSON:
		return printJSON(o.out, d)
	}
	fmt.Fprintf(o.out, "order %s, version %d to %d\n", orderID, d.From, d.To)
	if len(d.Changes) == 0 {
		fmt.Fprintln(o.out, "no difference")
		return nil
	}
	var rows [][]string
	for _, c := range d.Changes {
		rows = append(rows, []string{harmless(c.Field, 80), fieldValue(c.Old), fieldValue(c.New)})
	}
	return table(o.out, "FIELD OLD NEW", rows)
}

// fieldValue returns a JSON value for people: a text without its quotes, and - for a field that is missing.
func fieldValue(v json.RawMessage) string {
	if v == nil {
		return "-"
	}
	var text string
	if json.Unmarshal(v, &text) == nil {
		return harmless(text, 200)
	}
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return harmless(string(v), 200)
	}
	return harmless(b.String(), 200)
}
