package faults

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/operators"
	"eventshop.example/pkg/operator/operatorapi"
)

func decisions() []Fault {
	const family = "operators"
	return []Fault{
		{Name: "resubmit-many-times", Family: family, run: resubmitManyTimes,
			Done: "a dead letter is resubmitted by ten at once, and again when it is resolved", Expect: "one effect (I11), the others hear so"},
		{Name: "resubmit-fails-again", Family: family, run: resubmitFailsAgain,
			Done: "a dead letter is resubmitted before anything is mended, then after", Expect: "the same dead letter is open again, with its attempts added up; then resolved"},
		{Name: "discard", Family: family, run: discardsAndErrs,
			Done:   "a dead letter is discarded; without a reason before, and twice, edited and resubmitted after that",
			Expect: "followers go on without it; each mistake is refused and changes nothing"},
	}
}

// buried creates a dead letter of a group and returns it as it is in the list.
func (t *trial) buried(ctx context.Context, group string) (d operators.Summary, mend func(ctx context.Context) error, err error) {
	all := targets(0)
	i := slices.IndexFunc(all, func(v target) bool { return v.group == group })
	planted, err := t.plantAll(ctx, forEver, all[i])
	if err != nil {
		return d, nil, err
	}
	b := planted[0]
	if err := t.deadLetter(ctx, group, b.order); err != nil {
		return d, nil, err
	}
	letters, err := t.letters(ctx, group, operators.Filter{Key: b.order})
	if err == nil && len(letters) == 0 {
		err = fmt.Errorf("the dead letter of order %s is gone", b.order)
	}
	if err != nil {
		return d, nil, err
	}
	return letters[0], b.mend, nil
}

// detail reads all details of a dead letter.
func (t *trial) detail(ctx context.Context, d operators.Summary) (operators.Detail, error) {
	g, err := t.fleet().Group(d.Group)
	if err != nil {
		return operators.Detail{}, err
	}
	return operators.Ask(ctx, g, func(ctx context.Context, c *operators.Client) (operators.Detail, error) {
		return c.DeadLetter(ctx, d.ID)
	})
}

// becomes waits until a dead letter has a status.
func (t *trial) becomes(ctx context.Context, d operators.Summary, status operators.Status) (now operators.Detail, err error) {
	return now, eventually(ctx, 30*time.Second, fmt.Sprintf("dead letter %s is %s", d.ID, status), func(ctx context.Context) (bool, error) {
		now, err = t.detail(ctx, d)
		return now.Status == status, err
	})
}

func resubmitManyTimes(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	d, mend, err := t.buried(ctx, "inventory")
	if err != nil {
		return err
	}
	if err := mend(ctx); err != nil {
		return err
	}
	t.over(ctx)
	const many = 10
	var mu sync.Mutex
	var all sync.WaitGroup
	effects := 0
	for range many {
		all.Go(func() {
			o, err := t.resubmit(ctx, d)
			mu.Lock()
			defer mu.Unlock()
			t.expect(err == nil, "resubmit: %v", err)
			if o.Effect {
				effects++
			}
		})
	}
	all.Wait()
	if _, err := t.becomes(ctx, d, operators.Resolved); err != nil {
		return err
	}
	again, err := t.resubmit(ctx, d)
	if err != nil {
		return err
	}
	t.expect(effects == 1, "%d of %d resubmissions had an effect", effects, many)
	t.expect(!again.Effect, "resubmitting what is resolved had an effect: %+v", again)
	now, err := t.detail(ctx, d)
	if err != nil {
		return err
	}
	counted := map[operatorapi.ActionAction]int{}
	for _, a := range now.Actions {
		counted[a.Action]++
	}
	t.expect(counted[operatorapi.ActionActionResubmitted] == 1 && counted[operatorapi.ActionActionResubmittedAgain] == many && counted[operatorapi.ActionActionResolved] == 1, "the audit trail has %v", counted)
	t.see("%d resubmissions, %d effect", many+1, effects)
	return t.reach(ctx, []string{d.KeyText()}, delivered)
}

func resubmitFailsAgain(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	d, mend, err := t.buried(ctx, "order")
	if err != nil {
		return err
	}
	before, err := t.detail(ctx, d)
	if err != nil {
		return err
	}
	if _, err := t.resubmit(ctx, d); err != nil {
		return err
	}
	var now operators.Detail
	err = eventually(ctx, 30*time.Second, "the dead letter is open again", func(ctx context.Context) (bool, error) {
		now, err = t.detail(ctx, d)
		return now.Status == operators.Open && slices.ContainsFunc(now.Actions, func(a operators.Action) bool { return a.Action == operatorapi.ActionActionFailedAgain }), err
	})
	if err != nil {
		return err
	}
	t.expect(now.Attempts == before.Attempts+attempts, "%d attempts after the second round, %d before", now.Attempts, before.Attempts)
	open, err := t.letters(ctx, "order", operators.Filter{Key: d.KeyText()})
	if err != nil {
		return err
	}
	// What came on another topic waits for nothing and may have been buried meanwhile.
	open = slices.DeleteFunc(open, func(o operators.Summary) bool { return o.Topic != d.Topic })
	t.expect(len(open) == 1 && open[0].ID == d.ID, "%d dead letters of the topic are open, not the same one", len(open))
	t.see("open again as the same one, %d attempts, %d followers", now.Attempts, now.Followers)
	if err := mend(ctx); err != nil {
		return err
	}
	t.over(ctx)
	if err := t.resubmitAll(ctx, "order", d.KeyText()); err != nil {
		return err
	}
	if err := t.reach(ctx, []string{d.KeyText()}, delivered); err != nil {
		return err
	}
	return t.inOrder(ctx, d.KeyText())
}

func discardsAndErrs(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	d, mend, err := t.buried(ctx, "projection")
	if err != nil {
		return err
	}
	if err := t.reach(ctx, []string{d.KeyText()}, delivered); err != nil { // the read side blocks no order
		return err
	}
	if err := mend(ctx); err != nil {
		return err
	}
	refused := func(what string, err error, statuses ...int) {
		t.expect(slices.Contains(statuses, jsonhttp.StatusOf(err)), "%s: %v, want HTTP status %v", what, err, statuses)
	}
	_, err = t.discard(ctx, "projection", d.ID, "")
	refused("discard without a reason", err, http.StatusBadRequest, http.StatusUnprocessableEntity)
	o, err := t.discard(ctx, "projection", d.ID, "the read model can do without")
	if err != nil {
		return err
	}
	t.expect(o.Effect, "the discard had no effect: %+v", o)
	t.over(ctx)
	_, err = t.discard(ctx, "projection", d.ID, "twice")
	refused("discard twice", err, http.StatusConflict)
	_, err = tell(ctx, t.world, "projection", func(ctx context.Context, c *operators.Client) (operators.Detail, error) {
		return c.Edit(ctx, d.ID, operators.Edit{SetHeaders: map[string]string{"x-late": "yes"}})
	})
	refused("edit what is discarded", err, http.StatusConflict)
	o, err = t.resubmit(ctx, d)
	t.expect(err == nil && !o.Effect && o.Status == operators.Discarded, "resubmit what is discarded: %+v %v", o, err)
	t.see("4 mistakes refused")
	return t.resubmitAll(ctx, "projection", d.KeyText()) // the other topics' records of the order
}
