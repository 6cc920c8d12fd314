package operators

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"eventshop.example/ops/jsonhttp"
)

// pollEvery is the interval at which [AwaitEnds] asks: resubmitted records take about a second.
const pollEvery = 500 * time.Millisecond

// Target is a dead letter to act on.
type Target struct {
	Group Group
	ID    string
}

// Result is the result for one target.
type Result struct {
	Target
	Outcome Outcome
	Err     error
	End     Status // the status that [AwaitEnds] has seen; "" if unknown
	Why     string // the error of a dead letter that is open again
}

// Each applies one action to many dead letters. It returns the results in the order of the targets.
// Dead letters of one group are processed one after another, because the order within a key
// matters; groups are processed in parallel. Each stops asking a group that no longer answers, and
// starts nothing after ctx has ended. It calls done after each target with the number of finished
// targets, from one goroutine at a time.
func Each(ctx context.Context, targets []Target, act func(ctx context.Context, c *Client, id string) (Outcome, error), done func(n int)) []Result {
	all := make([]Result, len(targets))
	byGroup := map[string][]int{}
	for i, t := range targets {
		byGroup[t.Group.Name] = append(byGroup[t.Group.Name], i)
	}
	var mu sync.Mutex
	count := 0
	tick := func() {
		mu.Lock()
		defer mu.Unlock()
		count++
		done(count)
	}
	var wg sync.WaitGroup
	for _, indices := range byGroup {
		wg.Go(func() {
			var gone error // the group no longer answers: skip the rest
			for _, i := range indices {
				res := Result{Target: targets[i], Err: gone}
				if res.Err == nil {
					res.Err = ctx.Err()
				}
				if res.Err == nil {
					res.Outcome, res.Err = Change(ctx, res.Group, func(ctx context.Context, c *Client) (Outcome, error) {
						return act(ctx, c, res.ID)
					})
					if u := (*jsonhttp.Unreachable)(nil); errors.As(res.Err, &u) {
						gone = fmt.Errorf("not tried: %w", res.Err)
					}
				}
				all[i] = res
				tick()
			}
		})
	}
	wg.Wait()
	return all
}

// AwaitEnds waits until every resubmitted dead letter, of this run or an earlier one, has reached
// its end. It sets End and Why of the results. It returns at the latest when ctx ends. It calls
// left after each round with the number of results that have not ended.
func AwaitEnds(ctx context.Context, results []Result, left func(n int)) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		n := look(ctx, results)
		if n == 0 {
			return
		}
		left(n)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look updates the results that are under way and returns how many still are.
func look(ctx context.Context, results []Result) int {
	waiting := map[string][]*Result{}
	groups := map[string]Group{}
	for i := range results {
		if res := &results[i]; res.Err == nil && res.End == "" {
			if res.Outcome.Status != Resubmitted {
				res.End = res.Outcome.Status
				continue
			}
			waiting[res.Group.Name], groups[res.Group.Name] = append(waiting[res.Group.Name], res), res.Group
		}
	}
	left := 0
	for name, those := range waiting {
		under, _, err := groups[name].List(ctx, Filter{Status: Resubmitted}, 0)
		still := map[string]bool{}
		for _, d := range under {
			still[d.ID] = true
		}
		for _, res := range those {
			if err != nil || still[res.ID] { // a dead letter that cannot be read now may be readable later
				left++
				continue
			}
			d, err := Ask(ctx, res.Group, func(ctx context.Context, c *Client) (Detail, error) { return c.DeadLetter(ctx, res.ID) })
			if err != nil || d.Status == Resubmitted {
				left++
				continue
			}
			res.End, res.Why = d.Status, d.ErrorMessage
		}
	}
	return left
}
