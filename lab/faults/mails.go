package faults

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"eventshop.example/lab/load"
)

// mails breaks what the notification service calls. No order waits for a mail.
func mails() []Fault {
	const family = "mails"
	return []Fault{
		{Name: "mail-answer-lost", Family: family, run: mailAnswerLost,
			Done: "a mail arrives at the mailbox, its answer lost", Expect: "asked by key, one mail per order"},
		{Name: "mail-outage", Family: family, run: mailOutage,
			Done: "the mailbox is away, then comes back", Expect: "breaker opens, orders go on, mails wait in the database and none is lost"},
		{Name: "callback-outage", Family: family, run: callbackOutage,
			Done: "the order service is killed before the notifications of its orders are handled, started again", Expect: "breaker opens, mails wait in Kafka and none is lost"},
	}
}

// mailed returns the number of mails that have arrived about each of the orders.
func (t *trial) mailed(ctx context.Context, ids []string) (all []int, err error) {
	all = make([]int, len(ids))
	for i, id := range ids {
		var page struct{ Count int }
		if err := t.call(ctx, http.MethodGet, "mailbox", "/v1/mails?order="+url.QueryEscape(id), nil, &page); err != nil {
			return nil, err
		}
		all[i] = page.Count
	}
	return all, nil
}

// allMailed waits until every order has a mail, and expects no second one.
func (t *trial) allMailed(ctx context.Context, ids []string) error {
	var all []int
	err := eventually(ctx, time.Minute, "every order has its mail", func(ctx context.Context) (_ bool, err error) {
		all, err = t.mailed(ctx, ids)
		for _, n := range all {
			if n == 0 {
				return false, err
			}
		}
		return err == nil, err
	})
	for i, n := range all {
		t.expect(n <= 1, "order %s has %d mails", ids[i], n)
	}
	return err
}

// unmailed expects that no order has a mail yet.
func (t *trial) unmailed(ctx context.Context, ids []string, while string) error {
	all, err := t.mailed(ctx, ids)
	for i, n := range all {
		t.expect(n == 0, "order %s has a mail while %s", ids[i], while)
	}
	return err
}

func mailAnswerLost(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	_, err := t.rule(ctx, "mailbox", map[string]any{
		"match": map[string]any{"customerId": t.customer, "operation": "send"}, "answerLost": true, "times": t.sizes.Own})
	if err != nil {
		return err
	}
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	err = eventually(ctx, time.Minute, fmt.Sprintf("%d answers are lost", t.sizes.Own), func(ctx context.Context) (bool, error) {
		left, err := t.rules(ctx, "mailbox")
		return !left[t.customer+" send"], err
	})
	if err != nil {
		return err
	}
	t.over(ctx)
	t.see("%d answers lost", t.sizes.Own)
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	return t.allMailed(ctx, ids)
}

func mailOutage(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	remove, err := t.rule(ctx, "mailbox", map[string]any{"down": true})
	if err != nil {
		return err
	}
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	if err := t.breaker(ctx, "notification", "mailbox", false); err != nil {
		return err
	}
	if err := t.reach(ctx, ids, delivered); err != nil { // the saga does not wait for mails
		return err
	}
	if err := t.unmailed(ctx, ids, "the mailbox is away"); err != nil {
		return err
	}
	if err := remove(ctx); err != nil {
		return err
	}
	t.over(ctx)
	if err := t.allMailed(ctx, ids); err != nil {
		return err
	}
	t.see("all mails arrived %.1f s after the end", time.Since(t.healed).Seconds())
	return t.breaker(ctx, "notification", "mailbox", true)
}

// callbackOutage places orders while the notification service is down, so that their notifications
// are published and not handled when the order service is killed.
func callbackOutage(ctx context.Context, t *trial) error {
	notifies, err := t.take(ctx, "notification")
	if err != nil {
		return err
	}
	ids, err := t.placeOwn(ctx, load.Order{}, delivered)
	if err != nil {
		return err
	}
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	err = eventually(ctx, time.Minute, "the order service has published everything", func(ctx context.Context) (bool, error) {
		var n int
		err := t.query(ctx, "order", `SELECT count(*) FROM outbox_queue`, nil, &n)
		return n == 0, err
	})
	if err != nil {
		return err
	}
	answers, err := t.take(ctx, "order")
	if err != nil {
		return err
	}
	if err := notifies(ctx); err != nil {
		return err
	}
	if err := t.breaker(ctx, "notification", "order", false); err != nil {
		return err
	}
	if err := t.allReady(ctx, "notification"); err != nil { // it waits, and is well
		return err
	}
	if err := t.unmailed(ctx, ids, "the order service is away"); err != nil {
		return err
	}
	if err := answers(ctx); err != nil {
		return err
	}
	t.over(ctx)
	if err := t.allMailed(ctx, ids); err != nil {
		return err
	}
	t.see("all mails arrived %.1f s after the end", time.Since(t.healed).Seconds())
	return nil
}
