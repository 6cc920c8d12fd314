package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"eventshop.example/cmd/shop/internal/verify"
	"eventshop.example/local/stack"
)

const (
	// perFault bounds what one fault does and waits for; what it takes back afterwards
	// has cleanWithin, and the shop settleWithin to come to rest.
	perFault     = 3 * time.Minute
	cleanWithin  = 90 * time.Second
	settleWithin = 30 * time.Second
)

// Options say what Run does.
type Options struct {
	Sizes
	Only []string  // names of faults; none means all
	Out  io.Writer // progress, a line or two a fault
}

// Select returns the faults of the names, in the order of the table; all without names.
// An unknown name is an error that tells the names.
func Select(names []string) ([]Fault, error) {
	all, selected := Table(), []Fault{}
	var known []string
	for _, f := range all {
		known = append(known, f.Name)
		if len(names) == 0 || slices.Contains(names, f.Name) {
			selected = append(selected, f)
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return selected, nil
}

// Run injects the faults in turn into the shop that open opens, which is up and has the
// [Settings]. It returns what became of those it came to; the error says that ctx ended or
// that the shop could not be reached at all.
func Run(ctx context.Context, open func() (*stack.Stack, error), o Options) ([]Result, error) {
	selected, err := Select(o.Only)
	if err != nil {
		return nil, err
	}
	w, err := newWorld(open, o.Sizes)
	if err != nil {
		return nil, err
	}
	defer w.close()
	var results []Result
	doubled := 0 // records on the topics that are there a second time, so far
	for i, f := range selected {
		fmt.Fprintf(o.Out, "%2d/%d  %s: %s\n", i+1, len(selected), f.Name, f.Done)
		r := w.inject(ctx, f, i, &doubled)
		if ctx.Err() != nil {
			return results, ctx.Err()
		}
		results = append(results, r)
		progress(o.Out, r)
	}
	return results, nil
}

// inject runs one fault from beginning to end.
func (w *world) inject(ctx context.Context, f Fault, n int, doubled *int) (r Result) {
	began := time.Now()
	r.Fault = f
	defer func() { r.Took = time.Since(began) }()
	t := &trial{world: w, wants: map[string]string{},
		customer: fmt.Sprintf("%s-%d", f.Name, began.Unix()), sku: fmt.Sprintf("FAULT-%02d-%d", n, began.Unix())}
	failed := func(what string, err error) {
		if err != nil {
			r.Failures = append(r.Failures, what+": "+err.Error())
		}
	}
	before, err := t.prepare(ctx)
	if err != nil {
		failed("prepare", err)
		return r
	}
	c, cancel := context.WithTimeout(ctx, perFault)
	err = f.run(c, t)
	failed("inject", err)
	if t.healed.IsZero() {
		t.over(c)
	}
	failed("take back", t.cleanUp(ctx, err == nil))
	if err == nil || t.load != nil {
		failed("recover", t.ends(c, &r.Figures))
	}
	cancel()
	r.Seen, r.Failures = t.seen, append(r.Failures, t.failures...)
	if ctx.Err() != nil {
		return r
	}
	after, err := w.counts(ctx)
	failed("count", err)
	r.Figures.since(before, after)
	facts, err := w.facts(ctx)
	failed("verify", err)
	if err == nil {
		r.Findings = verify.Check(facts)
		all := duplicates(facts)
		r.Figures.Duplicates, *doubled = all-*doubled, all
	}
	return r
}

// prepare makes the shop whole, gives the fault stock of its own, and begins to count.
func (t *trial) prepare(ctx context.Context) (counts, error) {
	if err := t.heal(ctx); err != nil {
		return counts{}, err
	}
	err := t.call(ctx, http.MethodPost, "inventory", "/stock/"+t.sku+"/receipts", map[string]any{"quantity": stocked}, nil)
	if err != nil {
		return counts{}, err
	}
	return t.counts(ctx)
}

// cleanUp takes back what the fault did, also when the time is up or somebody has
// interrupted. One that did not come to its end has more to be cleared up.
func (t *trial) cleanUp(ctx context.Context, done bool) error {
	interrupted := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
	defer cancel()
	failures := []error{t.clean(ctx), t.refresh()}
	if !done && !interrupted {
		failures = append(failures, t.settleLetters(ctx))
	}
	return errors.Join(failures...)
}

// facts reads everything, when the shop has come to rest.
func (w *world) facts(ctx context.Context) (verify.Facts, error) {
	return verify.Load(ctx, verify.Sources{DSN: w.file.DSN, Kafka: w.file.Cluster(),
		RegistryURL: w.file.URL[stack.Registry], GatewayURL: w.file.URL[stack.Gateway]}, settleWithin)
}
