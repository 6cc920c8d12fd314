package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/operators"
)

const (
	batch    = 100 // a line of progress after this many
	reported = 20  // ids listed per outcome; the rest are counted
)

// bulk describes an action on many dead letters.
type bulk struct {
	verb     string // "resubmitted"
	dryRun   bool
	progress io.Writer
	act      func(ctx context.Context, c *operators.Client, id string) (operators.Outcome, error)
}

// results are those of one command, in the order of the targets.
type results struct {
	bulk
	all    []operators.Result
	waited bool
}

func (b bulk) run(ctx context.Context, targets []operators.Target) *results {
	return &results{bulk: b, all: operators.Each(ctx, targets, b.act, func(n int) {
		if n%batch == 0 && n < len(targets) {
			fmt.Fprintf(b.progress, "%d of %d\n", n, len(targets))
		}
	})}
}

// await waits until every resubmitted dead letter, of this command or an earlier one, has reached
// its end.
func (r *results) await(ctx context.Context) {
	r.waited = true
	limit := time.Duration(0)
	if until, ok := ctx.Deadline(); ok {
		limit = time.Until(until)
	}
	p := term.Start(r.progress, "waiting for what was resubmitted", limit)
	defer p.Stop()
	operators.AwaitEnds(ctx, r.all, func(left int) { p.Of(len(r.all)-left, len(r.all)) })
}

// counts sums up the results.
type counts struct {
	Done     int `json:"done"`
	NoEffect int `json:"noEffect"`
	Failed   int `json:"failed"`
	Resolved int `json:"resolved"`  // with --wait, as the next two
	Open     int `json:"openAgain"` //
	UnderWay int `json:"underWay"`  // when the time was up
}

func (r *results) counts() counts {
	var c counts
	for _, res := range r.all {
		switch {
		case res.Err != nil:
			c.Failed++
			continue
		case res.Outcome.Effect:
			c.Done++
		default:
			c.NoEffect++
		}
		if !r.waited {
			continue
		}
		switch res.End {
		case operators.Resolved:
			c.Resolved++
		case operators.Open:
			c.Open++
		case "":
			c.UnderWay++
		}
	}
	return c
}

// finish prints the results and returns an error unless all succeeded.
func (o *operator) finish(r *results, missing []error) error {
	c := r.counts()
	if o.asJSON {
		if err := printJSON(o.out, r.document(c, missing)); err != nil {
			return err
		}
	} else {
		r.print(o.out, c)
	}
	var failed []error
	if c.Failed > 0 {
		failed = append(failed, fmt.Errorf("%d failed", c.Failed))
	}
	if c.Open > 0 {
		failed = append(failed, fmt.Errorf("%d open again", c.Open))
	}
	if c.UnderWay > 0 {
		failed = append(failed, fmt.Errorf("%d still under way", c.UnderWay))
	}
	if err := unanswered(missing); err != nil {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func (r *results) print(out io.Writer, c counts) {
	verb := r.verb
	if r.dryRun {
		verb = "would be " + verb
	}
	lines := map[string]int{}
	say := func(kind, format string, args ...any) {
		if lines[kind]++; lines[kind] <= reported {
			fmt.Fprintf(out, format+"\n", args...)
		}
	}
	for _, res := range r.all {
		name := fmt.Sprintf("%s  %-10s", res.ID, res.Group.Name)
		switch {
		case res.Err != nil:
			say("failed", "%s  failed: %s", name, line(res.Err.Error(), 0))
		case !res.Outcome.Effect:
			say("no effect", "%s  no effect: it is %s", name, res.Outcome.Status)
		case deref(res.Outcome.FollowersReleased) > 0:
			say(verb, "%s  %s; %s behind it", name, verb, plural(int(*res.Outcome.FollowersReleased), "record goes on", "records go on"))
		default:
			say(verb, "%s  %s", name, verb)
		}
		for _, w := range res.Outcome.Warnings {
			say("warning", "%s  warning: %s", name, line(w, 0))
		}
	}
	if r.waited {
		for _, res := range r.all {
			switch {
			case res.Err != nil:
			case res.End == "":
				say("under way", "%s  still under way", res.ID)
			case res.Why != "" && res.End == operators.Open:
				say("open", "%s  open again: %s", res.ID, line(res.Why, 200))
			default:
				say("ended", "%s  %s", res.ID, res.End)
			}
		}
	}
	for _, kind := range []string{"failed", "no effect", verb, "warning", "under way", "open", "ended"} {
		if n := lines[kind] - reported; n > 0 {
			fmt.Fprintf(out, "… and %d more: %s\n", n, kind)
		}
	}
	fmt.Fprintf(out, "%s %d, no effect %d, failed %d\n", verb, c.Done, c.NoEffect, c.Failed)
	if r.waited {
		fmt.Fprintf(out, "resolved %d, open again %d, still under way %d\n", c.Resolved, c.Open, c.UnderWay)
	}
}

// document returns the results in JSON.
func (r *results) document(c counts, missing []error) any {
	type item struct {
		operators.Outcome
		Group string           `json:"group"`
		Error string           `json:"error,omitempty"`
		End   operators.Status `json:"end,omitempty"` // with --wait
	}
	items := []item{}
	for _, res := range r.all {
		i := item{Outcome: res.Outcome, Group: res.Group.Name, End: res.End}
		if i.ID = res.ID; res.Err != nil {
			i.Error = res.Err.Error()
		}
		items = append(items, i)
	}
	var failures []string
	for _, err := range missing {
		failures = append(failures, err.Error())
	}
	return struct {
		DryRun bool   `json:"dryRun"`
		Items  []item `json:"deadLetters"`
		counts
		Unreachable []string `json:"unreachable,omitempty"`
	}{r.dryRun, items, c, failures}
}

// perGroup counts targets by group: "payment 3, order 1".
func perGroup(targets []operators.Target) string {
	var names []string
	n := map[string]int{}
	for _, t := range targets {
		if n[t.Group.Name]++; n[t.Group.Name] == 1 {
			names = append(names, t.Group.Name)
		}
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, n[name])
	}
	return strings.Join(names, ", ")
}
