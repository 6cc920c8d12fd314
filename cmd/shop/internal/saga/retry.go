package saga

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"eventshop.example/cmd/shop/internal/ops"
)

// Step is one thing that Retry did or found.
type Step struct {
	Hold
	Done bool   `json:"done"` // it set something going
	What string `json:"what"` // for people
	Err  error  `json:"-"`
}

// Retry sets going again whatever holds an order: it resubmits the open dead letters of
// its key in all groups, oldest first, and has a failed refund tried again. Steps that
// are not Done say what was found and left alone, because it goes on by itself or because
// somebody was faster. Doing it twice has one effect.
//
// An unknown order is an error, and so is a service that could not be asked: what it may
// hold is not set going.
func (s *Shop) Retry(ctx context.Context, orderID, actor, reason string) (steps []Step, unanswered []error, err error) {
	var bad failures
	saga := Saga{OrderID: orderID}
	switch known, err := get(ctx, s.order, "/orders/", orderID, &saga); {
	case err != nil:
		bad.add(fmt.Errorf("order cannot be asked: %w", err))
	case !known:
		return nil, nil, fmt.Errorf("there is no order %s", orderID)
	}
	own := s.goingOn(ctx, orderID, &bad) // before what is resubmitted here is among it

	type located struct {
		group ops.Group
		ops.Summary
	}
	var letters []located
	answers := ops.ListAll(ctx, s.fleet.Groups, ops.Filter{Key: orderID}, 0)
	for i, a := range answers {
		for _, d := range a.Value.DeadLetters {
			letters = append(letters, located{s.fleet.Groups[i], d})
		}
	}
	bad.add(ops.Failures(answers)...)
	slices.SortFunc(letters, func(a, b located) int { return cmp.Compare(a.ID, b.ID) }) // UUIDv7: by time
	for _, d := range letters {
		outcome, err := ops.Tell(ctx, d.group, func(ctx context.Context, c *ops.Client) (ops.Outcome, error) {
			return c.Resubmit(ctx, d.ID, reason, false)
		})
		step := Step{Hold: letterHold(d.group.Name, d.Summary), Done: outcome.Effect, What: "resubmitted", Err: err}
		switch {
		case err != nil:
			step.What = "not resubmitted"
		case !outcome.Effect:
			step.What = "left alone, it is " + outcome.Status
		}
		steps = append(steps, step)
	}

	step, err := s.retryRefund(ctx, orderID, actor)
	if err != nil {
		bad.add(fmt.Errorf("payment cannot be asked: %w", err))
	}
	return slices.Concat(steps, step, own), bad.list(), nil
}

// retryRefund has a failed refund tried again. The idempotency key names the failure, by
// the time of it, so that two who see the same one start one round of attempts.
func (s *Shop) retryRefund(ctx context.Context, orderID, actor string) ([]Step, error) {
	var p struct {
		State, LastError string
		UpdatedAt        time.Time
	}
	if _, err := get(ctx, s.payment, "/payments/", orderID, &p); err != nil || p.State != "REFUND_FAILED" {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	step := Step{Hold: Hold{Kind: RefundFailed, Group: "payment", Detail: p.LastError}}
	key := "saga-retry-" + p.UpdatedAt.UTC().Format(time.RFC3339Nano)
	step.Err = s.payment.Call(ctx, http.MethodPost, "/payments/"+url.PathEscape(orderID)+"/refund-retry", nil, nil, nil,
		"Idempotency-Key", key, "X-Caller-Id", actor)
	switch {
	case step.Err == nil:
		step.Done, step.What = true, "refund is tried again"
	case ops.StatusOf(step.Err) == http.StatusConflict:
		step.Err, step.What = nil, "left alone, somebody was faster"
	default:
		step.What = "refund is not tried again"
	}
	return []Step{step}, nil
}

// goingOn finds what of the order is tried again by itself.
func (s *Shop) goingOn(ctx context.Context, orderID string, bad *failures) []Step {
	var steps []Step
	answers := ops.AskAll(ctx, s.fleet.Groups, func(ctx context.Context, c *ops.Client) ([]ops.ParkedKey, error) {
		return c.Parked(ctx, ops.MaxPage)
	})
	for _, a := range answers {
		for _, k := range a.Value {
			if k.Key == orderID && k.State == ops.Retrying {
				steps = append(steps, Step{Hold: parkedHold(a.From, k), What: "is tried again by itself"})
			}
		}
	}
	bad.add(ops.Failures(answers)...)
	return steps
}
