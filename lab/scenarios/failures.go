package scenarios

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"eventshop.example/lab/plant"
	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/operators"
	"eventshop.example/pkg/event"
)

// operator is the name under which the scenarios decide about dead letters.
const operator = "demo"

// flakyHandler makes the projection's database refuse some rows of one order. The failing event
// goes to the retry topic, the order's later events wait behind it, and other orders continue.
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
	// The read model gathers events for a moment, and is to fail at later ones.
	if err := eventually(ctx, "the order is shown as CONFIRMED", func() (bool, error) {
		steps, err := s.timeline(ctx, id)
		for _, step := range []string{"OrderCreated", "PaymentCompleted", "InventoryReserved", "ShipmentScheduled", "OrderConfirmed"} {
			if !has(steps, step) {
				return false, err
			}
		}
		return true, err
	}); err != nil {
		return "", err
	}
	// Until another order is shown, however long that takes here. The sixth failure, after some
	// twelve seconds, would create a dead letter.
	mend, err := plant.Refuse(ctx, s.Databases["projection"], plant.Fault{Table: "timeline", Column: "order_id", Value: id})
	if err != nil {
		return "", err
	}
	defer mend(context.WithoutCancel(ctx)) //nolint:errcheck // it names this order only
	s.say("planted: the projection fails at this order's next events")
	projection, err := s.operators("projection")
	if err != nil {
		return "", err
	}
	var keys []operators.ParkedKey
	if err := eventually(ctx, "the order's later events wait", func() (bool, error) {
		keys, err = projection.ParkedOf(ctx, id)
		return len(keys) == 2 && !slices.ContainsFunc(keys, func(k operators.ParkedKey) bool { return k.Followers == 0 }), err
	}); err != nil {
		return "", err
	}
	for _, k := range keys {
		s.say("failed, now on %s, tried again at %s; its key is parked, %d behind it", event.RetryTopic(k.Topic, "projection").Name,
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
		s.say("meanwhile %s is confirmed and shown; the projection is mended", other)
	}
	if err := mend(ctx); err != nil {
		return "", err
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
	letters, _, err := projection.List(ctx, operators.Filter{Status: operators.AnyStatus, Key: id}, 0)
	return fmt.Sprintf("%s, retried %s%s, %d dead letters", status, inTurn, wentOn, len(letters)), err
}

// poisonRecord makes the order service's serialiser cut one OrderCreated in half. Each group that
// reads it makes it a dead letter. An operator repairs and resubmits it.
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
	groups := []string{"payment", "inventory", "shipping", "notification", "projection"}
	var letters []operators.Summary
	if err := eventually(ctx, "a dead letter in each group", func() (bool, error) {
		letters = nil
		for _, name := range groups {
			g, err := s.operators(name)
			if err != nil {
				return false, err
			}
			all, _, err := g.List(ctx, operators.Filter{Key: id}, 0)
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
	payload, err := operators.OrderCreated(ctx, jsonhttp.New(s.Order, s.http), id)
	if err != nil {
		return got, err
	}
	again := "without effect"
	for _, d := range letters {
		g, err := s.operators(d.Group)
		if err != nil {
			return got, err
		}
		_, err = operators.Change(ctx, g, func(ctx context.Context, c *operators.Client) (operators.Detail, error) {
			return c.Edit(ctx, d.ID, operators.Edit{Payload: payload, Note: "as the order service has it"})
		})
		if err != nil {
			return got, err
		}
		for _, first := range []bool{true, false} {
			out, err := operators.Change(ctx, g, func(ctx context.Context, c *operators.Client) (operators.Outcome, error) {
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

// operators returns the operator listeners of a service's processes.
func (s *shop) operators(service string) (operators.Group, error) {
	return operators.NewFleet(s.Operators, operator).Group(service)
}

// quickParcel makes the carrier deliver the customer's parcels at once. remove undoes that.
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

// applied returns an order's events in the order in which the projection wrote them. Its API does
// not show this order: it sorts by the time of the fact. PostgreSQL numbers transactions when they
// begin to write (xmin), and the commands within each (cmin). Events that were written by one command
// were folded in memory, and come in the order of their versions.
func (s *shop) applied(ctx context.Context, id string) ([]entry, error) {
	conn, err := pgx.Connect(ctx, s.Databases["projection"])
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `SELECT topic, event_type, version FROM timeline WHERE order_id = $1
		ORDER BY xmin::text::bigint, cmin::text::bigint, topic, version`, id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
}

// ordered reports whether the versions rise within each topic.
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

// has reports whether a timeline has an event, with or without detail.
func has(steps []string, event string) bool {
	return slices.ContainsFunc(steps, func(s string) bool { return s == event || strings.HasPrefix(s, event+" ") })
}
