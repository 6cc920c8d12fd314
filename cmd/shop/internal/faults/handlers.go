package faults

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"eventshop.example/cmd/shop/internal/ops"
	"eventshop.example/cmd/shop/internal/saga"
	"eventshop.example/local/load"
	"eventshop.example/local/plant"
)

// victim is a row of one order that a handler of a group has to write, and cannot.
type victim struct {
	group         string
	table, column string // of the row, and its column that names the order
	// dispatch is when the parcel leaves: at once where other events are to follow on the
	// same topic, late where the carrier's news must not come before the repair.
	dispatch time.Duration
}

// victims are one of each group; the parcel of shipping's leaves after the time given.
func victims(late time.Duration) []victim {
	return []victim{
		{"payment", "outbox", "aggregate_id", time.Second},
		{"inventory", "outbox", "aggregate_id", time.Second},
		{"shipping", "outbox", "aggregate_id", late},
		{"order", "events", "stream_id", 0},
		{"projection", "timeline", "order_id", 0},
	}
}

func handlers() []Fault {
	const family = "handlers"
	return []Fault{
		{Name: "handler-fails-twice", Family: family, run: handlerFailsTwice,
			Done: "a handler of each of the five groups fails twice for one order", Expect: "tried again in order, no dead letter"},
		{Name: "handler-gives-up", Family: family, run: handlerGivesUp,
			Done:   "a handler of each of the five groups fails every time for one order; mended, then dlq resubmit",
			Expect: "dead letters, keys parked, followers wait, others go on; then all in order"},
	}
}

// blow is one order that a victim's handler cannot do its work for.
type blow struct {
	victim
	order string
	mend  func(ctx context.Context) error
}

// strike places an order for each victim whose rows cannot be written, times times, and
// returns when each handler has failed. The order is known only when it is placed, so its
// charge is slow enough for the fault to be planted meanwhile; an order that was faster all
// the same is let go, and another takes its place.
func (t *trial) strike(ctx context.Context, times int, victims ...victim) ([]blow, error) {
	blows := make([]blow, len(victims))
	var err error
	for i, v := range victims {
		if blows[i], err = t.aim(ctx, v, times); err != nil {
			return nil, err
		}
	}
	for i := range blows {
		for tries := 0; ; tries++ {
			hit, err := t.hits(ctx, blows[i])
			if err != nil {
				return nil, err
			}
			if hit {
				break
			}
			if tries == 5 {
				return nil, fmt.Errorf("%s is too fast for a fault to be planted", blows[i].group)
			}
			if err := blows[i].mend(ctx); err != nil {
				return nil, err
			}
			if blows[i], err = t.aim(ctx, blows[i].victim, times); err != nil {
				return nil, err
			}
		}
	}
	return blows, nil
}

// aim places a victim's order and plants the fault for it.
func (t *trial) aim(ctx context.Context, v victim, times int) (b blow, err error) {
	customer := t.customer + "-" + v.group
	_, err = t.rule(ctx, "carrier", map[string]any{"match": map[string]any{"customerId": customer, "operation": "schedule"},
		"dispatchAfterMs": v.dispatch.Milliseconds(), "deliverAfterMs": 0})
	if err == nil {
		_, err = t.rule(ctx, "gateway", map[string]any{"match": map[string]any{"customerId": customer, "operation": "charge"},
			"latencyMs": (callTimeout * 7 / 10).Milliseconds(), "times": 1})
	}
	if err != nil {
		return b, err
	}
	b.victim = v
	if b.order, err = t.place(ctx, load.Order{Customer: customer}, delivered); err != nil {
		return b, err
	}
	b.mend, err = t.refuse(ctx, v.group, plant.Fault{Table: v.table, Column: v.column, Value: b.order, Times: times})
	return b, err
}

// hits waits until the handler has failed. It is false when the order has ended without
// that: the fault came too late.
func (t *trial) hits(ctx context.Context, b blow) (hit bool, err error) {
	err = eventually(ctx, 20*time.Second, b.group+"'s handler fails for order "+b.order, func(ctx context.Context) (bool, error) {
		n, err := plant.Refused(ctx, t.file.DSN[b.group])
		if hit = n > 0; hit || err != nil {
			return hit, err
		}
		status, err := t.status(ctx, b.order)
		return status == delivered, err
	})
	return hit, err
}

// forEver is a number of refusals that is never reached; with a number they are counted.
const forEver = 1 << 30

// refusals make a handler fail twice: at its first failure the batch is rolled back and
// made again record by record, and the row is refused a second time. (It fails three
// times where the batch was made record by record already; it has four attempts.)
const refusals = 3

func handlerFailsTwice(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	blows, err := t.strike(ctx, refusals, victims(2*time.Second)...)
	if err != nil {
		return err
	}
	ids := ordersOf(blows)
	t.over(ctx)
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	for _, b := range blows {
		err := eventually(ctx, 30*time.Second, fmt.Sprintf("%s's rows are refused %d times", b.group, refusals), func(ctx context.Context) (bool, error) {
			n, err := plant.Refused(ctx, t.file.DSN[b.group])
			return n == refusals, err
		})
		if err == nil {
			err = t.unparked(ctx, b.group, b.order)
		}
		if err != nil {
			return err
		}
		letters, err := t.letters(ctx, b.group, ops.Filter{Status: ops.AnyStatus, Key: b.order})
		t.expect(err != nil || len(letters) == 0, "%s has %d dead letters of order %s", b.group, len(letters), b.order)
		if err != nil {
			return err
		}
	}
	for _, id := range ids {
		if err := t.inOrder(ctx, id); err != nil {
			return err
		}
	}
	return t.money(ctx, ids, 1, 0)
}

func handlerGivesUp(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	began := time.Now()
	blows, err := t.strike(ctx, forEver, victims(5*time.Second)...)
	if err != nil {
		return err
	}
	ids := ordersOf(blows)
	for _, b := range blows {
		if err := t.deadLetter(ctx, b.group, b.order); err != nil {
			return err
		}
	}
	t.see("all given up after %.1f s", time.Since(began).Seconds())
	if err := t.othersGoOn(ctx); err != nil {
		return err
	}
	followers, err := t.stuck(ctx, ids)
	if err != nil {
		return err
	}
	t.see("%d followers waited", followers)
	for _, b := range blows {
		if err := b.mend(ctx); err != nil {
			return err
		}
	}
	t.over(ctx)
	for _, b := range blows {
		if err := t.resubmitAll(ctx, b.group, b.order); err != nil {
			return err
		}
	}
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	for _, id := range ids {
		if err := t.inOrder(ctx, id); err != nil {
			return err
		}
	}
	return t.money(ctx, ids, 1, 0)
}

func ordersOf(blows []blow) (ids []string) {
	for _, b := range blows {
		ids = append(ids, b.order)
	}
	return ids
}

// stuck expects every order to be listed as held by a dead letter, and counts what waits
// behind these.
func (t *trial) stuck(ctx context.Context, ids []string) (followers int, err error) {
	list, unanswered, err := t.sagas().List(ctx, saga.Filter{Stuck: true})
	if err == nil && len(unanswered) > 0 {
		err = unanswered[0]
	}
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		i := slices.IndexFunc(list, func(s saga.Saga) bool { return s.OrderID == id })
		t.expect(i >= 0 && slices.ContainsFunc(list[i].Holds, func(h saga.Hold) bool { return h.Kind == saga.DeadLetter }),
			"order %s is not listed as held by a dead letter", id)
	}
	for _, g := range t.fleet().Groups {
		letters, _, err := g.List(ctx, ops.Filter{}, 0)
		if err != nil {
			return 0, err
		}
		for _, d := range letters {
			followers += d.Followers
		}
	}
	return followers, nil
}

// othersGoOn expects an order that is placed now to end while keys are parked.
func (t *trial) othersGoOn(ctx context.Context) error {
	id, err := t.place(ctx, load.Order{Customer: t.customer + "-other"}, delivered)
	if err != nil {
		return err
	}
	return t.reach(ctx, []string{id}, delivered)
}

// inOrder expects the order's own events in the order in which they have to come.
func (t *trial) inOrder(ctx context.Context, id string) error {
	var list struct{ Events []struct{ Type string } }
	if err := t.call(ctx, http.MethodGet, "order", "/orders/"+id+"/events", nil, &list); err != nil {
		return err
	}
	var got []string
	for _, e := range list.Events {
		if e.Type != "ItemAdded" { // with OrderCreated; it moves nothing
			got = append(got, e.Type)
		}
	}
	want := []string{"OrderCreated", "OrderConfirmed", "OrderShipped", "OrderDelivered"}
	t.expect(slices.Equal(got, want), "order %s went through %v, not %v", id, got, want)
	return nil
}
