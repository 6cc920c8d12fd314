package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"eventshop.example/lab/load"
	"eventshop.example/lab/plant"
	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/operators"
	"eventshop.example/ops/verify"
	"eventshop.example/pkg/events"
)

func poison() []Fault {
	const family = "poison"
	return []Fault{
		{Name: "poison-payload", Family: family, run: poisonPayload,
			Done:   "a serialiser's bug cuts one order's OrderCreated; payload edited in each group, then dlq resubmit",
			Expect: "a dead letter in each of the five groups at once; repaired, the order is delivered"},
		{Name: "rubbish", Family: family, run: poisonRecords,
			Done: "bytes that are no event on every partition of every topic; discarded", Expect: "dead letters that hold up no order"},
	}
}

func eventTopics() (names []string) {
	for _, t := range events.Topics() {
		if strings.HasSuffix(t.Name, ".events") {
			names = append(names, t.Name)
		}
	}
	return names
}

func poisonPayload(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	mend, err := plant.Spoil(ctx, t.file.DSN["order"], plant.Fault{Table: "outbox", Column: "event_type", Value: "OrderCreated", Times: 1},
		"payload", t.customer+"-poison")
	if err != nil {
		return err
	}
	mend = t.once(mend)
	id, err := t.place(ctx, load.Order{Customer: t.customer + "-poison"}, delivered)
	if err != nil {
		return err
	}
	began := time.Now()
	style, err := t.style(ctx, id)
	if err != nil {
		return err
	}
	groups := verify.SubscribersOf("OrderCreated", style)
	for _, group := range groups {
		if err := t.deadLetter(ctx, group, id); err != nil {
			return err
		}
	}
	t.see("dead letters in %d groups within %.1f s", len(groups), time.Since(began).Seconds())
	if err := mend(ctx); err != nil {
		return err
	}
	if err := t.othersGoOn(ctx); err != nil {
		return err
	}
	payload, err := operators.OrderCreated(ctx, jsonhttp.New(t.file.URL["order"], nil), id)
	if err != nil {
		return err
	}
	t.over(ctx)
	for _, group := range groups {
		if err := t.repair(ctx, group, id, payload); err != nil {
			return err
		}
	}
	if err := t.reach(ctx, []string{id}, delivered); err != nil {
		return err
	}
	if err := t.inOrder(ctx, id); err != nil {
		return err
	}
	return t.money(ctx, []string{id}, 1, 0)
}

// repair restores the payload of a group's dead letter of the order and resubmits it.
func (t *trial) repair(ctx context.Context, group, id string, payload json.RawMessage) error {
	all, err := t.letters(ctx, group, operators.Filter{Key: id, Type: "OrderCreated"})
	if err != nil {
		return err
	}
	t.expect(len(all) == 1 && all[0].ErrorClass == "hopeless", "%s has %d dead letters of the OrderCreated: %+v", group, len(all), all)
	for _, d := range all {
		_, err := tell(ctx, t.world, group, func(ctx context.Context, c *operators.Client) (operators.Detail, error) {
			return c.Edit(ctx, d.ID, operators.Edit{Payload: payload, Note: "as the order service has it"})
		})
		if err != nil {
			return fmt.Errorf("edit %s's dead letter %s: %w", group, d.ID, err)
		}
	}
	return t.resubmitAll(ctx, group, id)
}

func poisonRecords(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	topics := eventTopics()
	put, err := plant.Poison(ctx, t.file.Kafka, t.customer, topics...)
	if err != nil {
		return err
	}
	began := time.Now()
	want := map[string]int{} // dead letters, by group
	for topic, n := range put {
		for _, group := range verify.Readers(topic) {
			want[group] += n
		}
	}
	if err := t.othersGoOn(ctx); err != nil {
		return err
	}
	total, err := t.buriedBy(ctx, want)
	if err != nil {
		return err
	}
	t.see("%d dead letters after %.1f s, orders behind the rubbish delivered", total, time.Since(began).Seconds())
	t.over(ctx)
	return nil
}

// buriedBy waits until each group has exactly the wanted number of open dead letters. At the end of
// the fault it discards them.
func (t *trial) buriedBy(ctx context.Context, want map[string]int) (total int, err error) {
	for group, n := range want {
		total += n
		var all []operators.Summary
		err := eventually(ctx, 30*time.Second, fmt.Sprintf("%s has %d dead letters", group, n), func(ctx context.Context) (bool, error) {
			all, err = t.letters(ctx, group, operators.Filter{})
			return len(all) == n, err
		})
		if err != nil {
			return total, err
		}
		t.later(func(ctx context.Context) error { return t.discardAll(ctx, group, all) })
	}
	return total, nil
}

// discardAll discards dead letters, several in parallel.
func (t *trial) discardAll(ctx context.Context, group string, all []operators.Summary) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, d := range all {
		g.Go(func() error {
			_, err := t.discard(ctx, group, d.ID, "rubbish")
			return err
		})
	}
	return g.Wait()
}

// discard discards a dead letter.
func (t *trial) discard(ctx context.Context, group, id, reason string) (operators.Outcome, error) {
	return tell(ctx, t.world, group, func(ctx context.Context, c *operators.Client) (operators.Outcome, error) {
		return c.Discard(ctx, id, reason, false)
	})
}
