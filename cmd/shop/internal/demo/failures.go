package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"eventshop.example/cmd/shop/internal/ops"
	"eventshop.example/local/plant"
)

// operator is in whose name the demo decides about dead letters.
const operator = "demo"

// flakyHandler makes the projection's database refuse some rows of one order. The failing
// event goes to the retry topic, the order's later events wait behind it, and other
// orders go on.
func flakyHandler(ctx context.Context, s *shop, customer string) (string, error) {
	remove, err := s.fault(ctx, s.Carrier, map[string]any{
		"match": match(customer, "schedule"), "dispatchAfterMs": 600, "deliverAfterMs": 200,
	})
	if err != nil {
		return "", err
	}
	defer remove() //nolint:errcheck // the rule names this scenario's customer only
	id, err := s.place(ctx, customer, 0, line{widget, 1, 2999})
	if err != nil {
		return "", err
	}
	if _, err := s.await(ctx, id, "CONFIRMED", "CANCELLED"); err != nil {
		return "", err
	}
	// Two refusals are one failed attempt: the batch is tried once more with savepoints.
	mend, err := plant.Refuse(ctx, s.Databases["projection"], plant.Fault{Table: "timeline", Column: "order_id", Value: id, Times: 6})
	if err != nil {
		return "", err
	}
	defer mend(context.WithoutCancel(ctx)) //nolint:errcheck // it names this order only
	s.say("planted: the projection fails at this order's next events")
	projection, err := s.operators("projection")
	if err != nil {
		return "", err
	}
	if err := eventually(ctx, "the order's key is parked", func() (bool, error) {
		n, err := followers(ctx, projection, id)
		return n >= 1, err
	}); err != nil {
		return "", err
	}
	n, _ := followers(ctx, projection, id)
	s.say("its event waits for the next attempt, %d later ones behind it", n)
	other, err := s.place(ctx, customer+"-other", 0, line{gadget, 1, 4001})
	if err != nil {
		return "", err
	}
	wentOn := ""
	order := "in order"
	for {
		steps, err := s.timeline(ctx, id)
		if err != nil {
			return "", err
		}
		if has(steps, "ShipmentDelivered") && !has(steps, "ShipmentDispatched") || has(steps, "OrderDelivered") && !has(steps, "OrderShipped") {
			order = "OUT OF ORDER"
		}
		if wentOn == "" && !has(steps, "ShipmentDelivered") {
			if others, err := s.timeline(ctx, other); err == nil && has(others, "OrderConfirmed") {
				wentOn = ", others went on"
				s.say("meanwhile %s is confirmed and shown", other)
			}
		}
		if has(steps, "ShipmentDelivered") && has(steps, "OrderDelivered") {
			break
		}
		if err := pause(ctx); err != nil {
			return fmt.Sprintf("timeline %v", steps), err
		}
	}
	status, err := s.await(ctx, id, "DELIVERED", "CANCELLED")
	if err != nil {
		return status, err
	}
	letters, _, err := projection.List(ctx, ops.Filter{Status: ops.AnyStatus, Key: id}, 0)
	return fmt.Sprintf("%s, retried %s%s, %d dead letters", status, order, wentOn, len(letters)), err
}

// poisonRecord has the order service's serialiser cut one OrderCreated in half. Each group
// that reads it gives it up; a person repairs it and has it tried again.
func poisonRecord(ctx context.Context, s *shop, customer string) (string, error) {
	mend, err := plant.Spoil(ctx, s.Databases["order"],
		plant.Fault{Table: "outbox", Column: "event_type", Value: "OrderCreated", Times: 1}, "payload", customer)
	if err != nil {
		return "", err
	}
	defer mend(context.WithoutCancel(ctx)) //nolint:errcheck // it names this customer only
	id, err := s.place(ctx, customer, 0, line{widget, 1, 2999})
	if err != nil {
		return "", err
	}
	groups := []string{"payment", "inventory", "shipping", "projection"}
	var letters []ops.Summary
	if err := eventually(ctx, "a dead letter in each group", func() (bool, error) {
		letters = nil
		for _, name := range groups {
			g, err := s.operators(name)
			if err != nil {
				return false, err
			}
			all, _, err := g.List(ctx, ops.Filter{Key: id}, 0)
			if err != nil {
				return false, err
			}
			letters = append(letters, all...)
		}
		return len(letters) == len(groups), nil
	}); err != nil {
		return fmt.Sprintf("%d dead letters", len(letters)), err
	}
	got := fmt.Sprintf("%d dead letters", len(letters))
	s.say("OrderCreated is cut in half: %s", got)
	for _, d := range letters {
		s.say("  %s  %s: %s", d.ID, d.Group, d.ErrorMessage)
	}
	payload, err := ops.OrderCreated(ctx, ops.NewAPI(s.Order, s.http), id)
	if err != nil {
		return got, err
	}
	again := "without effect"
	for _, d := range letters {
		g, err := s.operators(d.Group)
		if err != nil {
			return got, err
		}
		_, err = ops.Tell(ctx, g, func(ctx context.Context, c *ops.Client) (ops.Detail, error) {
			return c.Edit(ctx, d.ID, ops.Edit{Record: ops.Record{Payload: payload}, Note: "as the order service has it"})
		})
		if err != nil {
			return got, err
		}
		for _, first := range []bool{true, false} {
			out, err := ops.Tell(ctx, g, func(ctx context.Context, c *ops.Client) (ops.Outcome, error) {
				return c.Resubmit(ctx, d.ID, "repaired", false)
			})
			if err != nil {
				return got, err
			}
			if out.Effect != first {
				again = "WITH EFFECT"
			}
		}
	}
	s.say("payload repaired from the order service's books, resubmitted to each group, twice")
	status, err := s.await(ctx, id, "DELIVERED", "CANCELLED")
	if err != nil {
		return got + ", " + status, err
	}
	b, err := s.books(ctx, id)
	return fmt.Sprintf("%s, %s, %d capture, paid %s, resubmitted again %s", got, status, b.captures, pounds(b.net()), again), err
}

// gatewayDown lets charges fail until the breaker opens: from then on nobody calls, and
// orders wait in Kafka.
func gatewayDown(ctx context.Context, s *shop, customer string) (string, error) {
	remove, err := s.fault(ctx, s.Gateway, map[string]any{"down": true})
	if err != nil {
		return "", err
	}
	defer remove() //nolint:errcheck // removed below on every good road
	const orders = 8
	var ids []string
	for i := range orders {
		id, err := s.place(ctx, fmt.Sprintf("%s-%d", customer, i), 0, line{widget, 1, 2999})
		if err != nil {
			return "", err
		}
		ids = append(ids, id)
	}
	payment, err := s.operators("payment")
	if err != nil {
		return "", err
	}
	if err := eventually(ctx, "the breaker opens", func() (bool, error) {
		all, err := ops.Ask(ctx, payment, func(ctx context.Context, c *ops.Client) ([]ops.Breaker, error) { return c.Breakers(ctx) })
		return slices.ContainsFunc(all, func(b ops.Breaker) bool { return b.State == "open" }), err
	}); err != nil {
		return "", err
	}
	got := "breaker open"
	s.say("all %d orders are accepted; payment's breaker is open and they wait in Kafka", orders)
	captures := func() (all []int, err error) {
		for _, id := range ids {
			b, err := s.books(ctx, id)
			if err != nil {
				return nil, err
			}
			all = append(all, b.captures)
		}
		return all, nil
	}
	before, err := captures()
	if err != nil {
		return got, err
	}
	if slices.Max(before) == 0 {
		got += ", no charge meanwhile"
	}
	if err := remove(); err != nil {
		return got, err
	}
	s.say("the gateway is back; the next probe closes the breaker")
	confirmed := 0
	for _, id := range ids {
		status, err := s.await(ctx, id, "CONFIRMED", "SHIPPED", "DELIVERED", "CANCELLED")
		if err != nil {
			return got, err
		}
		if status != "CANCELLED" {
			confirmed++
		}
	}
	got += fmt.Sprintf(", %d of %d CONFIRMED", confirmed, orders)
	after, err := captures()
	if err == nil && slices.Min(after) == 1 && slices.Max(after) == 1 {
		got += ", 1 capture each"
	}
	return got, err
}

// operators are the listeners for operators of a service's processes.
func (s *shop) operators(service string) (ops.Group, error) {
	groups, err := ops.NewFleet(s.Operators, operator).Only(service)
	if err != nil {
		return ops.Group{}, err
	}
	return groups[0], nil
}

// followers counts the records that wait behind the heads of a key, on all topics.
func followers(ctx context.Context, g ops.Group, key string) (n int, err error) {
	keys, err := ops.Ask(ctx, g, func(ctx context.Context, c *ops.Client) ([]ops.ParkedKey, error) { return c.Parked(ctx, ops.MaxPage) })
	for _, k := range keys {
		if k.Key == key {
			n += int(k.Followers)
		}
	}
	return n, err
}

// has tells whether a timeline has an event, with or without detail.
func has(steps []string, event string) bool {
	return slices.ContainsFunc(steps, func(s string) bool { return s == event || strings.HasPrefix(s, event+" ") })
}

// pause is between two looks.
func pause(ctx context.Context) error {
	timer := time.NewTimer(25 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
