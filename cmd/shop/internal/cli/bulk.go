package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"eventshop.example/cmd/shop/internal/ops"
)

const (
	batch     = 100                    // a progress line after so many
	told      = 20                     // of one kind are listed by id, the rest counted
	pollEvery = 500 * time.Millisecond // while waiting for resubmissions
)

// target is a dead letter that something is done to.
type target struct {
	group ops.Group
	id    string
}

// result is what became of it.
type result struct {
	target
	outcome ops.Outcome
	err     error
	end     string // with --wait: the status it came to; "" is not known
	why     string // it is open again
}

// results are those of one command, in the order of the targets.
type results struct {
	bulk
	all    []result
	waited bool
}

// bulk does one thing to many dead letters: those of one group one after another, oldest
// first, because within a key their order counts; the groups side by side.
type bulk struct {
	verb     string // "resubmitted"
	dryRun   bool
	progress io.Writer
	act      func(ctx context.Context, c *ops.Client, id string) (ops.Outcome, error)
}

func (b bulk) run(ctx context.Context, targets []target) *results {
	r := &results{bulk: b, all: make([]result, len(targets))}
	byGroup := map[string][]int{}
	for i, t := range targets {
		byGroup[t.group.Name] = append(byGroup[t.group.Name], i)
	}
	var mu sync.Mutex
	done := 0
	tick := func() {
		mu.Lock()
		defer mu.Unlock()
		if done++; done%batch == 0 && done < len(targets) {
			fmt.Fprintf(b.progress, "%d of %d\n", done, len(targets))
		}
	}
	var wg sync.WaitGroup
	for _, indices := range byGroup {
		wg.Go(func() {
			var gone error // nobody answers any more: the rest is not tried
			for _, i := range indices {
				res := result{target: targets[i], err: gone}
				if res.err == nil {
					res.err = ctx.Err() // after Ctrl-C
				}
				if res.err == nil {
					res.outcome, res.err = ops.Tell(ctx, res.group, func(ctx context.Context, c *ops.Client) (ops.Outcome, error) {
						return b.act(ctx, c, res.id)
					})
					if u := (*ops.Unreachable)(nil); errors.As(res.err, &u) {
						gone = fmt.Errorf("not tried: %w", res.err)
					}
				}
				r.all[i] = res
				tick()
			}
		})
	}
	wg.Wait()
	return r
}

// await waits until what was resubmitted, now or before, has come to an end.
func (r *results) await(ctx context.Context) {
	r.waited = true
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if r.look(ctx) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look finds out what became of those under way and returns how many still are.
func (r *results) look(ctx context.Context) int {
	waiting := map[string][]*result{}
	groups := map[string]ops.Group{}
	for i := range r.all {
		if res := &r.all[i]; res.err == nil && res.end == "" {
			if res.outcome.Status != ops.Resubmitted {
				res.end = res.outcome.Status
				continue
			}
			waiting[res.group.Name], groups[res.group.Name] = append(waiting[res.group.Name], res), res.group
		}
	}
	left := 0
	for name, those := range waiting {
		under, _, err := groups[name].List(ctx, ops.Filter{Status: ops.Resubmitted}, 0)
		still := map[string]bool{}
		for _, d := range under {
			still[d.ID] = true
		}
		for _, res := range those {
			if err != nil || still[res.id] { // who cannot be asked now may answer later
				left++
				continue
			}
			d, err := ops.Ask(ctx, res.group, func(ctx context.Context, c *ops.Client) (ops.Detail, error) { return c.DeadLetter(ctx, res.id) })
			if err != nil || d.Status == ops.Resubmitted {
				left++
				continue
			}
			res.end, res.why = d.Status, d.ErrorMessage
		}
	}
	return left
}

// counts sums up.
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
		case res.err != nil:
			c.Failed++
			continue
		case res.outcome.Effect:
			c.Done++
		default:
			c.NoEffect++
		}
		if !r.waited {
			continue
		}
		switch res.end {
		case ops.Resolved:
			c.Resolved++
		case ops.Open:
			c.Open++
		case "":
			c.UnderWay++
		}
	}
	return c
}

// finish prints what was done and returns an error when not all of it went well.
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
		if lines[kind]++; lines[kind] <= told {
			fmt.Fprintf(out, format+"\n", args...)
		}
	}
	for _, res := range r.all {
		name := fmt.Sprintf("%s  %-10s", res.id, res.group.Name)
		switch {
		case res.err != nil:
			say("failed", "%s  failed: %s", name, line(res.err.Error(), 0))
		case !res.outcome.Effect:
			say("no effect", "%s  no effect: it is %s", name, res.outcome.Status)
		case res.outcome.FollowersReleased > 0:
			say(verb, "%s  %s; %s behind it", name, verb, plural(res.outcome.FollowersReleased, "record goes on", "records go on"))
		default:
			say(verb, "%s  %s", name, verb)
		}
		for _, w := range res.outcome.Warnings {
			say("warning", "%s  warning: %s", name, line(w, 0))
		}
	}
	if r.waited {
		for _, res := range r.all {
			switch {
			case res.err != nil:
			case res.end == "":
				say("under way", "%s  still under way", res.id)
			case res.why != "" && res.end == ops.Open:
				say("open", "%s  open again: %s", res.id, line(res.why, 200))
			default:
				say("ended", "%s  %s", res.id, res.end)
			}
		}
	}
	for _, kind := range []string{"failed", "no effect", verb, "warning", "under way", "open", "ended"} {
		if n := lines[kind] - told; n > 0 {
			fmt.Fprintf(out, "… and %d more: %s\n", n, kind)
		}
	}
	fmt.Fprintf(out, "%s %d, no effect %d, failed %d\n", verb, c.Done, c.NoEffect, c.Failed)
	if r.waited {
		fmt.Fprintf(out, "resolved %d, open again %d, still under way %d\n", c.Resolved, c.Open, c.UnderWay)
	}
}

// document is the results in JSON.
func (r *results) document(c counts, missing []error) any {
	type item struct {
		ops.Outcome
		Group string `json:"group"`
		Error string `json:"error,omitempty"`
		End   string `json:"end,omitempty"` // with --wait
	}
	items := []item{}
	for _, res := range r.all {
		i := item{Outcome: res.outcome, Group: res.group.Name, End: res.end}
		if i.ID = res.id; res.err != nil {
			i.Error = res.err.Error()
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
func perGroup(targets []target) string {
	var names []string
	n := map[string]int{}
	for _, t := range targets {
		if n[t.group.Name]++; n[t.group.Name] == 1 {
			names = append(names, t.group.Name)
		}
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, n[name])
	}
	return strings.Join(names, ", ")
}
