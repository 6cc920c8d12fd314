package faults

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"eventshop.example/lab/load"
	"eventshop.example/lab/plant"
	"eventshop.example/ops/operators"
	"eventshop.example/ops/saga"
)

// target is where a fault is planted: a row of one order that a group's handler cannot write.
type target struct {
	group         string
	table, column string // of the row, and the column that identifies the order
	// dispatch is when the parcel leaves: at once if other events have to follow on the same topic,
	// late if the carrier's updates must not come before the repair.
	dispatch time.Duration
}

// targets returns one target per group of the saga, and one of the read models. Notification is none:
// its mail is written before a fault could be planted for the order. The parcel of shipping's target leaves after the given
// time.
func targets(late time.Duration) []target {
	return []target{
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
			Done: "a handler of each of five groups fails twice for one order", Expect: "tried again in order, no dead letter"},
		{Name: "handler-gives-up", Family: family, run: handlerGivesUp,
			Done:   "a handler of each of five groups fails every time for one order; mended, then dlq resubmit",
			Expect: "dead letters, keys parked, followers wait, others go on; then all in order"},
	}
}

// plantedFault is one order with a planted fault, whose handler cannot do its work.
type plantedFault struct {
	target
	order string
	mend  func(ctx context.Context) error
}

// plantAll places an order for each target and makes its rows fail the given number of times. It
// returns when each handler has failed. An order's id is known only after it is placed, so its
// charge is slow enough to plant the fault meanwhile. If an order is faster, plantAll drops it and
// places another.
func (t *trial) plantAll(ctx context.Context, times int, targets ...target) ([]plantedFault, error) {
	planted := make([]plantedFault, len(targets))
	var err error
	for i, v := range targets {
		if planted[i], err = t.plantOne(ctx, v, times); err != nil {
			return nil, err
		}
	}
	for i := range planted {
		for tries := 0; ; tries++ {
			failed, err := t.failedOnce(ctx, planted[i])
			if err != nil {
				return nil, err
			}
			if failed {
				break
			}
			if tries == 5 {
				return nil, fmt.Errorf("%s is too fast for a fault to be planted", planted[i].group)
			}
			if err := planted[i].mend(ctx); err != nil {
				return nil, err
			}
			if planted[i], err = t.plantOne(ctx, planted[i].target, times); err != nil {
				return nil, err
			}
		}
	}
	return planted, nil
}

// plantOne places a target's order and plants the fault for it.
func (t *trial) plantOne(ctx context.Context, v target, times int) (b plantedFault, err error) {
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
	b.target = v
	if b.order, err = t.place(ctx, load.Order{Customer: customer}, delivered); err != nil {
		return b, err
	}
	b.mend, err = t.refuse(ctx, v.group, plant.Fault{Table: v.table, Column: v.column, Value: b.order, Times: times})
	return b, err
}

// failedOnce waits until the handler has failed. It returns false if the order ended first: the
// fault came too late.
func (t *trial) failedOnce(ctx context.Context, b plantedFault) (failed bool, err error) {
	err = eventually(ctx, 20*time.Second, b.group+"'s handler fails for order "+b.order, func(ctx context.Context) (bool, error) {
		n, err := plant.Refused(ctx, t.file.DSN[b.group])
		if failed = n > 0; failed || err != nil {
			return failed, err
		}
		status, err := t.status(ctx, b.order)
		return status == delivered, err
	})
	return failed, err
}

// forEver is a number of refusals that is never reached; refusals are only counted if there is a
// number.
const forEver = 1 << 30

// refusals make a record fail at least once, and less often than its four attempts. Each attempt of a
// record that is alone in its transaction is refused once. In a batch, the search for the record at
// fault is refused once per halving, before the record fails by itself.
const refusals = 3

func handlerFailsTwice(ctx context.Context, t *trial) error {
	if err := t.startLoad(ctx); err != nil {
		return err
	}
	planted, err := t.plantAll(ctx, refusals, targets(2*time.Second)...)
	if err != nil {
		return err
	}
	ids := ordersOf(planted)
	t.over(ctx)
	if err := t.reach(ctx, ids, delivered); err != nil {
		return err
	}
	for _, b := range planted {
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
		letters, err := t.letters(ctx, b.group, operators.Filter{Status: operators.AnyStatus, Key: b.order})
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
	planted, err := t.plantAll(ctx, forEver, targets(5*time.Second)...)
	if err != nil {
		return err
	}
	ids := ordersOf(planted)
	for _, b := range planted {
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
	for _, b := range planted {
		if err := b.mend(ctx); err != nil {
			return err
		}
	}
	t.over(ctx)
	for _, b := range planted {
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

func ordersOf(planted []plantedFault) (ids []string) {
	for _, b := range planted {
		ids = append(ids, b.order)
	}
	return ids
}

// stuck expects every order to be listed as held by a dead letter. It returns how many records wait
// behind the dead letters.
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
		letters, _, err := g.List(ctx, operators.Filter{}, 0)
		if err != nil {
			return 0, err
		}
		for _, d := range letters {
			followers += int(d.Followers)
		}
	}
	return followers, nil
}

// othersGoOn expects a new order to end while keys are parked.
func (t *trial) othersGoOn(ctx context.Context) error {
	id, err := t.place(ctx, load.Order{Customer: t.customer + "-other"}, delivered)
	if err != nil {
		return err
	}
	return t.reach(ctx, []string{id}, delivered)
}

// inOrder expects the order's events in their required order.
func (t *trial) inOrder(ctx context.Context, id string) error {
	var list struct{ Events []struct{ Type string } }
	if err := t.call(ctx, http.MethodGet, "order", "/orders/"+id+"/events", nil, &list); err != nil {
		return err
	}
	var got []string
	for _, e := range list.Events {
		switch e.Type {
		case "ItemAdded", "OrderCommandAnswered": // neither changes the status
		default:
			got = append(got, e.Type)
		}
	}
	want := []string{"OrderCreated", "OrderConfirmed", "OrderShipped", "OrderDelivered"}
	t.expect(slices.Equal(got, want), "order %s went through %v, not %v", id, got, want)
	return nil
}
