package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"eventshop.example/cmd/shop/internal/ops"
	"eventshop.example/local/plant"
	"eventshop.example/pkg/events"
)

// operator is in whose name the demo decides about dead letters.
const operator = "demo"

// flakyHandler makes the projection's database refuse some rows of one order. The failing
// event goes to the retry topic, the order's later events wait behind it, and other
// orders go on.
func flakyHandler(ctx context.Context, s *shop, customer string) (string, error) {
	remove, err := s.quickParcel(ctx, customer)
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
	// Two topics bring news of the parcel. A first failure takes two refusals where its
	// batch is then made again record by record, and each retry takes one: that makes two or
	// three failures on each topic, and the sixth would be a dead letter.
	mend, err := plant.Refuse(ctx, s.Databases["projection"], plant.Fault{Table: "timeline", Column: "order_id", Value: id, Times: 7})
	if err != nil {
		return "", err
	}
	defer mend(context.WithoutCancel(ctx)) //nolint:errcheck // it names this order only
	s.say("planted: the projection fails at this order's next events")
	projection, err := s.operators("projection")
	if err != nil {
		return "", err
	}
	var keys []ops.ParkedKey
	if err := eventually(ctx, "the order's later events wait", func() (bool, error) {
		keys, err = projection.ParkedOf(ctx, id)
		return len(keys) == 2 && !slices.ContainsFunc(keys, func(k ops.ParkedKey) bool { return k.Followers == 0 }), err
	}); err != nil {
		return "", err
	}
	for _, k := range keys {
		s.say("failed, now on %s, tried again at %s; its key is parked, %d behind it", events.RetryTopic(k.Topic, "projection").Name,
			k.NotBefore.Local().Format("15:04:05.000"), k.Followers)
	}
	other, err := s.place(ctx, customer+"-other", 0, line{gadget, 1, 4001})
	if err != nil {
		return "", err
	}
	if err := eventually(ctx, "another order is confirmed and shown", func() (bool, error) {
		steps, err := s.timeline(ctx, other)
		return has(steps, "OrderConfirmed"), err
	}); err != nil {
		return "", err
	}
	steps, err := s.timeline(ctx, id)
	if err != nil {
		return "", err
	}
	wentOn := ""
	if !has(steps, "ShipmentDispatched") && !has(steps, "OrderShipped") {
		wentOn = ", others went on"
		s.say("meanwhile %s is confirmed and shown", other)
	}
	if err := eventually(ctx, "the order's events are applied", func() (bool, error) {
		steps, err := s.timeline(ctx, id)
		return has(steps, "ShipmentDelivered") && has(steps, "OrderDelivered"), err
	}); err != nil {
		return "", err
	}
	status, err := s.await(ctx, id, "DELIVERED", "CANCELLED")
	if err != nil {
		return status, err
	}
	entries, err := s.applied(ctx, id)
	if err != nil {
		return status, err
	}
	inTurn := "OUT OF ORDER"
	if ordered(entries) {
		inTurn = "in order"
	}
	for _, e := range entries[max(0, len(entries)-4):] {
		s.say("applied %s, version %d on %s", e.Type, e.Version, e.Topic)
	}
	letters, _, err := projection.List(ctx, ops.Filter{Status: ops.AnyStatus, Key: id}, 0)
	return fmt.Sprintf("%s, retried %s%s, %d dead letters", status, inTurn, wentOn, len(letters)), err
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
	remove, err := s.quickParcel(ctx, customer)
	if err != nil {
		return "", err
	}
	defer remove() //nolint:errcheck // the rule names this scenario's customer only
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

// operators are the listeners for operators of a service's processes.
func (s *shop) operators(service string) (ops.Group, error) {
	return ops.NewFleet(s.Operators, operator).Group(service)
}

// quickParcel has the carrier deliver the customer's parcels at once, and returns how to
// take that back.
func (s *shop) quickParcel(ctx context.Context, customer string) (remove func() error, err error) {
	return s.fault(ctx, s.Carrier, map[string]any{
		"match": match(customer, "schedule"), "dispatchAfterMs": 400, "deliverAfterMs": 100,
	})
}

// entry is an event in an order's timeline.
type entry struct {
	Topic, Type string
	Version     int64 // of the aggregate, rising within a topic
}

// applied lists an order's events in the order in which the projection wrote them, which
// its API does not show: that sorts by the time of the fact. Transactions and savepoints
// are numbered as they begin to write, and within one its commands are.
func (s *shop) applied(ctx context.Context, id string) ([]entry, error) {
	conn, err := pgx.Connect(ctx, s.Databases["projection"])
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `SELECT topic, event_type, version FROM timeline WHERE order_id = $1
		ORDER BY xmin::text::bigint, cmin::text::bigint`, id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
}

// ordered tells whether the versions rise within each topic.
func ordered(entries []entry) bool {
	last := map[string]int64{}
	for _, e := range entries {
		if e.Version <= last[e.Topic] {
			return false
		}
		last[e.Topic] = e.Version
	}
	return true
}

// has tells whether a timeline has an event, with or without detail.
func has(steps []string, event string) bool {
	return slices.ContainsFunc(steps, func(s string) bool { return s == event || strings.HasPrefix(s, event+" ") })
}
