package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"eventshop.example/lab/load"
	"eventshop.example/local/stack"
	"eventshop.example/ops/verify"
	"eventshop.example/pkg/event"
)

const (
	// perFault bounds one fault with its waits. Undoing has cleanWithin, and the shop has
	// settleWithin to come to rest.
	perFault     = 3 * time.Minute
	cleanWithin  = 90 * time.Second
	settleWithin = 30 * time.Second
)

// Options are options of [Run].
type Options struct {
	Sizes
	Only []string    // names of faults; empty means all
	Saga load.Styles // of the orders, by the ramp of the order service; "": choreographed
	// Begins and Ends are called around each fault, from one goroutine; they may be nil. n counts
	// from 1 to total. A fault that ctx interrupts has no end.
	Begins func(n, total int, f Fault)
	Ends   func(r Result)
	// Check checks the invariants after each fault; nil: verify.Check.
	Check func(f verify.Facts) []verify.Finding
}

// Select returns the faults with the names, in the order of the table; all for no names. The error
// for an unknown name lists the names.
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

// Run injects the faults in turn into the shop that open opens. The shop is up and has the
// [Settings]. Run returns the results of the faults that it reached. The error says that ctx ended
// or that the shop could not be reached at all.
func Run(ctx context.Context, open func() (*stack.Stack, error), o Options) ([]Result, error) {
	selected, err := Select(o.Only)
	if err != nil {
		return nil, err
	}
	w, err := newWorld(open, o.Sizes)
	if err != nil {
		return nil, err
	}
	if w.check = o.Check; w.check == nil {
		w.check = verify.Check
	}
	defer w.close()
	if err := w.ramp(ctx, o.Saga); err != nil {
		return nil, err
	}
	var results []Result
	doubled := 0 // repeated records on the topics so far
	for i, f := range selected {
		if o.Begins != nil {
			o.Begins(i+1, len(selected), f)
		}
		r := w.inject(ctx, f, i, &doubled)
		if ctx.Err() != nil {
			return results, ctx.Err()
		}
		results = append(results, r)
		if o.Ends != nil {
			o.Ends(r)
		}
	}
	return results, nil
}

// ramp sets the share of customers whose orders are orchestrated. The order service refuses it until it
// has seen every participant in its consumer group.
func (w *world) ramp(ctx context.Context, style load.Styles) error {
	percent := map[load.Styles]int{load.Styles(event.Orchestrated): 100, load.Mixed: 50}[style]
	if percent == 0 {
		return nil
	}
	return eventually(ctx, time.Minute, "the order service takes orchestrated orders", func(ctx context.Context) (bool, error) {
		_, err := w.sagas().SetRamp(ctx, percent)
		return err == nil, err
	})
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
		failed("verify", verify.Decoded(facts))
		r.Findings = w.check(facts)
		all := duplicates(facts)
		r.Figures.Duplicates, *doubled = all-*doubled, all
	}
	return r
}

// prepare makes the shop healthy, adds the fault's own stock, and begins to count.
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

// cleanUp undoes the fault, also when the time is up or an operator has interrupted. A fault that
// did not reach its end needs more cleaning.
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

// facts reads all facts when the shop has come to rest.
func (w *world) facts(ctx context.Context) (verify.Facts, error) {
	src, err := verify.SourcesOf(w.file.Addresses(), "")
	if err != nil {
		return verify.Facts{}, err
	}
	return verify.Load(ctx, src, settleWithin)
}
