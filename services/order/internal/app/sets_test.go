package app_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/order"
)

// TestSetsDoTheSame: however commands, deadlines and events are divided into sets, repetitions
// included, each order has the same rows and publishes the same events in the same order.
func TestSetsDoTheSame(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	steps := stepsOf(random, 12)
	one := newFixture(t)
	for _, s := range steps {
		one.runSet(s)
	}
	want := one.shape()
	for _, most := range []int{3, 10, len(steps)} {
		f := newFixture(t)
		for left := steps; len(left) > 0; {
			n := min(1+random.IntN(most), len(left))
			f.runSet(left[:n]...)
			left = left[n:]
		}
		if diff := cmp.Diff(want, f.shape()); diff != "" {
			t.Errorf("sets of up to %d (-one by one +in sets):\n%s", most, diff)
		}
	}
}

// TestRoundTripsOfASet: a set of events takes three round trips, whatever their number: the orders are
// locked and read, repetitions are looked for, and everything is written.
func TestRoundTripsOfASet(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	pool, trips := pgtest.RoundTrips(t, f.pool)
	for round, n := range []int{1, 1, 20} {
		var steps []reaction.Step[app.Input]
		for range n {
			e := delivered(events.ShipmentScheduled{OrderID: f.place(cart()).ID, TrackingID: "T1"})
			cause := outbox.Cause{CorrelationID: e.CorrelationID, CausationID: e.ID.String()}
			steps = append(steps, f.app.Orders.Step(e.Data.OrderID, app.OnShipmentScheduled(e), cause))
		}
		before := trips()
		err := postgres.InPipeline(t.Context(), pool, func(tx pgx.Tx) error {
			_, err := f.app.Orders.Run(t.Context(), tx, steps...)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := trips() - before; round > 0 && got != 3 { // the first round prepares the statements
			t.Errorf("%d orders: %d round trips, want 3", n, got)
		}
	}
	if n := f.count(`SELECT count(*) FROM events WHERE event_type = 'OrderConfirmed'`); n != 22 {
		t.Errorf("%d orders confirmed, want 22", n)
	}
}

// stepsOf places orders and sends each of them inputs at random, some of them twice.
func stepsOf(random *rand.Rand, orders int) []reaction.Step[app.Input] {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var steps []reaction.Step[app.Input]
	var placed []string
	for range orders {
		id := uuid.Must(uuid.NewV7()).String()
		c := cart()
		place := &order.Place{
			OrderID: id, Customer: c.Customer, ShippingAddress: c.ShippingAddress, Items: c.Items,
			TotalAmount: c.TotalAmount, Currency: c.Currency, ConfirmWithin: time.Second,
			Style: []order.Style{order.Choreographed, order.Orchestrated}[random.IntN(2)],
		}
		steps = append(steps, reaction.Step[app.Input]{Key: id, Input: app.Input{Place: place}, At: at, Cause: outbox.Cause{CorrelationID: id}})
		placed = append(placed, id)
	}
	for range 8 * orders {
		in := order.Inputs()[random.IntN(len(order.Inputs()))]
		s := reaction.Step[app.Input]{
			Key: placed[random.IntN(len(placed))], At: at.Add(time.Minute),
			Input: app.Input{Message: order.Message{Input: in, Reason: "because", TrackingID: "T1", DeliveredAt: at}},
		}
		s.Cause.CorrelationID = s.Key
		if in != order.RequestCancellation && in != order.PassDeadline {
			s.Cause.CausationID = uuid.NewString()
			s.Cause.Style = []event.Style{event.Choreographed, event.Orchestrated}[random.IntN(2)]
		}
		steps = append(steps, s)
		if random.IntN(3) == 0 {
			steps = append(steps, s, steps[orders+random.IntN(len(steps)-orders)])
		}
	}
	return steps
}

func (f *fixture) runSet(steps ...reaction.Step[app.Input]) {
	f.t.Helper()
	var decisions []reaction.Decision[app.Order]
	err := f.tx(func(tx pgx.Tx) (err error) {
		decisions, err = f.app.Orders.Run(context.Background(), tx, steps...)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	reaction.Committed(context.Background(), decisions...)
}

// shape returns what the tables say about each order, without the times of the database's clock.
func (f *fixture) shape() []string {
	f.t.Helper()
	f.writeSnapshots()
	var all []string
	for _, query := range []string{
		`SELECT concat_ws(' ', 'event', stream_id, version, event_type, data, metadata) FROM events ORDER BY stream_id, version`,
		`SELECT concat_ws(' ', 'snapshot', stream_id, version, state) FROM stream_snapshots ORDER BY stream_id, version`,
		`SELECT to_jsonb(s)::text FROM saga_deadlines s ORDER BY order_id`,
		`SELECT to_jsonb(s)::text FROM sagas s ORDER BY order_id`,
		`SELECT concat_ws(' ', 'published', aggregate_id, event_type, ce_aggregateversion, ce_sagastyle, ce_correlationid, encode(payload, 'hex'))
			FROM outbox ORDER BY aggregate_id, seq`,
	} {
		rows, err := f.pool.Query(context.Background(), query)
		if err != nil {
			f.t.Fatal(err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, fmt.Sprint(len(found), " rows"))
		all = append(all, found...)
	}
	return all
}
