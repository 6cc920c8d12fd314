package saga

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/operators"
)

// Step is one action or finding of [Shop.Retry].
type Step struct {
	Hold
	Done bool   `json:"done"` // it started something
	What string `json:"what"` // for people
	Err  error  `json:"-"`
}

// Retry restarts everything that blocks an order. It resubmits the open dead letters of the order's
// key in all groups, oldest first, and retries a failed refund. If that restarts nothing and the
// order's orchestrated saga asks for attention, the orchestrator sends the command of the saga's state
// again, under a new event id. A step without Done is a finding
// that Retry left as it is, because it continues without help or because another operator was
// faster. Two calls have the effect of one.
//
// An unknown order is an error. unanswered lists the services that could not be asked: Retry
// restarts nothing there.
func (s *Shop) Retry(ctx context.Context, orderID, actor, reason string) (steps []Step, unanswered []error, err error) {
	var bad failures
	saga := Saga{OrderID: orderID}
	switch known, err := get(ctx, s.order, "/orders/", orderID, &saga); {
	case err != nil:
		bad.add(fmt.Errorf("order cannot be asked: %w", err))
	case !known:
		return nil, nil, fmt.Errorf("there is no order %s", orderID)
	}
	own := s.goingOn(ctx, orderID, &bad) // before this call resubmits any

	type located struct {
		group operators.Group
		operators.Summary
	}
	var letters []located
	answers := operators.ListAll(ctx, s.fleet.Groups, operators.Filter{Key: orderID}, 0)
	for i, a := range answers {
		for _, d := range a.Value.DeadLetters {
			letters = append(letters, located{s.fleet.Groups[i], d})
		}
	}
	bad.add(operators.Failures(answers)...)
	slices.SortFunc(letters, func(a, b located) int { return cmp.Compare(a.ID, b.ID) }) // UUIDv7: by time
	for _, d := range letters {
		outcome, err := operators.Change(ctx, d.group, func(ctx context.Context, c *operators.Client) (operators.Outcome, error) {
			return c.Resubmit(ctx, d.ID, reason, false)
		})
		step := Step{Hold: letterHold(d.group.Name, d.Summary), Done: outcome.Effect, What: "resubmitted", Err: err}
		switch {
		case err != nil:
			step.What = "not resubmitted"
		case !outcome.Effect:
			step.What = "left alone, it is " + string(outcome.Status)
		}
		steps = append(steps, step)
	}

	step, err := s.retryRefund(ctx, orderID, actor)
	if err != nil {
		bad.add(fmt.Errorf("payment cannot be asked: %w", err))
	}
	steps = append(steps, step...)
	if !slices.ContainsFunc(steps, func(s Step) bool { return s.Done }) { // otherwise the answer comes by that
		step, err := s.retryCommand(ctx, orderID, actor)
		if err != nil {
			bad.add(fmt.Errorf("orchestrator cannot be asked: %w", err))
		}
		steps = append(steps, step...)
	}
	return slices.Concat(steps, own), bad.list(), nil
}

// retryRefund retries a failed refund. The idempotency key names the failure by its time, so that
// two operators who see the same failure start one round of attempts.
func (s *Shop) retryRefund(ctx context.Context, orderID, actor string) ([]Step, error) {
	var p struct {
		Status, LastError string
		UpdatedAt         time.Time
	}
	if _, err := get(ctx, s.payment, "/payments/", orderID, &p); err != nil || p.Status != "REFUND_FAILED" {
		return nil, err
	}
	step := Step{Hold: Hold{Kind: RefundFailed, Group: "payment", Detail: p.LastError}}
	key := "saga-retry-" + p.UpdatedAt.UTC().Format(time.RFC3339Nano)
	step.Err = act(ctx, s.payment, "/payments/"+url.PathEscape(orderID)+"/refund-retry", key, actor, nil, nil)
	switch {
	case step.Err == nil:
		step.Done, step.What = true, "refund is tried again"
	case jsonhttp.StatusOf(step.Err) == http.StatusConflict:
		step.Err, step.What = nil, "left alone, another operator was faster"
	default:
		step.What = "refund is not tried again"
	}
	return []Step{step}, nil
}

// goingOn finds the order's retries that need no operator.
func (s *Shop) goingOn(ctx context.Context, orderID string, bad *failures) []Step {
	var steps []Step
	answers := operators.AskAll(ctx, s.fleet.Groups, func(ctx context.Context, c *operators.Client) ([]operators.ParkedKey, error) {
		return c.ParkedOf(ctx, orderID)
	})
	for _, a := range answers {
		for _, k := range a.Value {
			if k.State == operators.Retrying {
				steps = append(steps, Step{Hold: parkedHold(a.From, k), What: "is tried again by itself"})
			}
		}
	}
	bad.add(operators.Failures(answers)...)
	return steps
}
