package faults

import (
	"context"
	"fmt"
	"slices"
	"time"

	"eventshop.example/lab/load"
	"eventshop.example/ops/saga"
)

// deadline is the saga deadline of orders that must not wait for ever. It is also the time until
// parcels leave whose cancellation never gets through. It is long enough for a slow machine to do
// everything that has to come before.
const deadline = 3 * time.Second

// forGood breaks a call of the fault's own orders and does not mend it. The saga has to end all the
// same, or ask for an operator.
func forGood() []Fault {
	const family = "down for good"
	return []Fault{
		{Name: "charge-for-good", Family: family, run: chargeForGood,
			Done: "charges of a customer never get through", Expect: "the saga's deadline cancels, nothing is captured"},
		{Name: "refund-for-good", Family: family, run: refundForGood,
			Done:   "refunds of a customer never get through; mended, then saga retry",
			Expect: "PaymentRefundFailed, needs attention, saga list --stuck; refunded after saga retry"},
		{Name: "schedule-for-good", Family: family, run: scheduleForGood,
			Done: "parcels of a customer are never booked", Expect: "the saga's deadline cancels, all is given back"},
		{Name: "cancel-for-good", Family: family, run: cancelForGood,
			Done: "cancellations never reach the carrier, the parcel leaves", Expect: "the dispatch wins: delivered and paid"},
	}
}

// down makes an operation fail for the fault's own customer.
func (t *trial) down(ctx context.Context, at, operation string) (remove func(ctx context.Context) error, err error) {
	return t.rule(ctx, at, map[string]any{"match": map[string]any{"customerId": t.customer, "operation": operation}, "down": true})
}

func chargeForGood(ctx context.Context, t *trial) error {
	return t.neverDone(ctx, "gateway", "charge", 0)
}

func scheduleForGood(ctx context.Context, t *trial) error {
	return t.neverDone(ctx, "carrier", "schedule", 1)
}

// neverDone expects the deadline to cancel orders whose operation never succeeds. Money that was
// captured before is returned.
func (t *trial) neverDone(ctx context.Context, at, operation string, captures int) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	if _, err := t.down(ctx, at, operation); err != nil {
		return err
	}
	placed := time.Now()
	ids, err := t.placeOwn(ctx, load.Order{Within: deadline}, cancelled)
	if err != nil {
		return err
	}
	if err := t.reach(ctx, ids, cancelled); err != nil {
		return err
	}
	t.see("cancelled %.1f s after placing, the deadline being %s", time.Since(placed).Seconds(), deadline)
	t.over(ctx)
	return t.money(ctx, ids, captures, captures)
}

func refundForGood(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	mend, err := t.down(ctx, "gateway", "refund")
	if err != nil {
		return err
	}
	ids, err := t.placeOwn(ctx, load.Order{Quantity: stocked + 1}, cancelled)
	if err != nil {
		return err
	}
	began := time.Now()
	shop := t.sagas()
	err = eventually(ctx, time.Minute, "every order is stuck with a failed refund and needs attention", func(ctx context.Context) (bool, error) {
		list, unanswered, err := shop.List(ctx, saga.Filter{Stuck: true, NeedsAttention: true})
		if err == nil && len(unanswered) > 0 {
			err = unanswered[0]
		}
		found := 0
		for _, s := range list {
			if slices.Contains(ids, s.OrderID) && s.RefundFailed && s.NeedsAttention {
				found++
			}
		}
		return found == len(ids), err
	})
	if err != nil {
		return err
	}
	t.see("given up after %.1f s, listed as stuck", time.Since(began).Seconds())
	if err := t.money(ctx, ids, 1, 0); err != nil {
		return err
	}
	if err := mend(ctx); err != nil {
		return err
	}
	t.over(ctx)
	for _, id := range ids {
		if err := t.sagaRetry(ctx, id); err != nil {
			return err
		}
	}
	if err := t.reach(ctx, ids, cancelled); err != nil {
		return err
	}
	t.see("saga retry ended them")
	return t.money(ctx, ids, 1, 1)
}

// sagaRetry restarts an order, as `shop saga retry` does, and expects that it restarted something.
func (t *trial) sagaRetry(ctx context.Context, id string) error {
	steps, unanswered, err := t.sagas().Retry(ctx, id, actor, "the fault is over")
	if err == nil && len(unanswered) > 0 {
		err = unanswered[0]
	}
	if err != nil {
		return fmt.Errorf("retry the saga of %s: %w", id, err)
	}
	done := slices.ContainsFunc(steps, func(s saga.Step) bool { return s.Done })
	t.expect(done, "saga retry of %s found nothing to do: %+v", id, steps)
	for _, s := range steps {
		t.expect(s.Err == nil, "saga retry of %s: %s: %v", id, s.What, s.Err)
	}
	return nil
}

func cancelForGood(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	ids, err := t.confirmed(ctx, deadline, delivered)
	if err != nil {
		return err
	}
	if _, err := t.down(ctx, "carrier", "cancel"); err != nil {
		return err
	}
	if err := t.cancelAll(ctx, ids); err != nil {
		return err
	}
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	t.over(ctx)
	return t.money(ctx, ids, 1, 0)
}
