package app_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/inventory/internal/app"
)

// delivery is a published event with the input that it means to its order's reservation.
type delivery struct {
	topic, order, name string
	input              app.Input
	cause              outbox.Cause
}

func deliveryOf[T event.Event](input func(consumer.Event[T]) app.Input, data T) delivery {
	return deliveryIn(event.Choreographed, input, data)
}

// deliveryIn returns the delivery of an event or command whose saga has a style.
func deliveryIn[T event.Event](style event.Style, input func(consumer.Event[T]) app.Input, data T) delivery {
	e := consumer.Event[T]{Data: data}
	e.ID, e.CorrelationID, e.Style = uuid.Must(uuid.NewV7()), data.AggregateKey(), style
	return delivery{topic: events.TypeOf[T]().Topic, order: data.AggregateKey(), name: data.EventType(), input: input(e), cause: e.Cause()}
}

// TestReplayHasNoEffect processes every saga, and then all events again without an inbox: from the
// beginning, and with the topics in other orders. Nothing fails, no row changes and no event is
// added.
func TestReplayHasNoEffect(t *testing.T) {
	f := newFixture(t, map[string]int64{"A": 100, "B": 1})
	all := sagas()
	for _, e := range all {
		f.react(e)
	}
	// Two orders with three pieces each are shipped. The order whose items came last still has
	// three reserved.
	if got := f.counts("A"); got != "91/3/6" {
		t.Fatalf("A %s, want 91/3/6", got)
	}
	want := f.everything()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 25 {
		again := slices.Clone(all)
		switch {
		case round == 0: // from the beginning, in the same order
		case round < 15:
			again = interleaved(random, all)
		default:
			random.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		}
		for _, e := range again {
			f.react(e)
		}
		if diff := cmp.Diff(want, f.everything()); diff != "" {
			t.Fatalf("after replay %d (-before +after):\n%s", round, diff)
		}
	}
}

// TestSetsDoTheSame: however the events are divided into sets, the stock moves in the same way and
// the same events follow, including for orders of both styles that compete for the last pieces, and for
// records of the other style.
func TestSetsDoTheSame(t *testing.T) {
	const a, b = 100, 1
	last := deliveryOf(app.OnOrderCreated, created("wants the last B", events.OrderItem{SKU: "B", Quantity: 1}))
	all := append(slices.Concat(sagas(), orchestratedSagas()), last, deliveryOf(app.OnPaymentCompleted, paid("wants the last B")),
		deliveryOf(app.OnOrderCreated, created("comes too late for B", events.OrderItem{SKU: "B", Quantity: 1}, events.OrderItem{SKU: "A", Quantity: 1})),
		deliveryOf(app.OnPaymentCompleted, paid("comes too late for B")))
	shape := func(f *fixture) []string {
		rows, err := f.pool.Query(f.t.Context(), `SELECT concat_ws(' ', order_id, saga_style, attention, state, version) || ' ' || coalesce(shortages::text, '') || ' ' ||
			coalesce((SELECT string_agg(event_type || ' ' || ce_aggregateversion, ', ' ORDER BY seq) FROM outbox WHERE aggregate_id = order_id), '')
			FROM reservations ORDER BY order_id`)
		f.must(err)
		orders, err := pgx.CollectRows(rows, pgx.RowTo[string])
		f.must(err)
		return append(orders, "A "+f.counts("A"), "B "+f.counts("B"))
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	f := newFixture(t, map[string]int64{"A": a, "B": b})
	for _, e := range all {
		f.react(e)
	}
	want := shape(f)
	for _, most := range []int{3, 10, len(all)} {
		var sets [][]delivery
		for left := all; len(left) > 0; {
			n := min(1+random.IntN(most), len(left))
			if most == len(all) {
				n = len(left)
			}
			sets, left = append(sets, left[:n]), left[n:]
		}
		t.Run(fmt.Sprintf("up to %d", most), func(t *testing.T) {
			f := newFixture(t, map[string]int64{"A": a, "B": b})
			for _, set := range sets {
				f.reactTo(set...)
			}
			if diff := cmp.Diff(want, shape(f)); diff != "" {
				t.Errorf("rows (-one by one +in sets):\n%s", diff)
			}
		})
	}
}

// sagas returns the events of one order after the other, one order per path of the saga.
func sagas() []delivery {
	now := time.Now()
	order := func(id string) delivery {
		return deliveryOf(app.OnOrderCreated, created(id, events.OrderItem{SKU: "A", Quantity: 2}, events.OrderItem{SKU: "A", Quantity: 1}))
	}
	pay := func(id string) delivery { return deliveryOf(app.OnPaymentCompleted, paid(id)) }
	dispatched := func(id string) delivery {
		return deliveryOf(app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, DispatchedAt: now, OccurredAt: now})
	}
	stopped := func(id string) delivery {
		return deliveryOf(app.OnShipmentCancelled, events.ShipmentCancelled{OrderID: id, Reason: "customer", OccurredAt: now})
	}
	return []delivery{
		order("delivered"), pay("delivered"), dispatched("delivered"),
		order("declined"), deliveryOf(app.OnPaymentFailed, events.PaymentFailed{OrderID: "declined", OccurredAt: now}),
		deliveryOf(app.OnOrderCreated, created("short", events.OrderItem{SKU: "B", Quantity: 2})), pay("short"),
		deliveryOf(app.OnOrderCreated, created("unknown", events.OrderItem{SKU: "NEVER", Quantity: 2})), pay("unknown"),
		deliveryOf(app.OnOrderCreated, created("forged", events.OrderItem{SKU: "A", Quantity: -2})), pay("forged"),
		order("refused by the carrier"), pay("refused by the carrier"),
		deliveryOf(app.OnShipmentFailed, events.ShipmentFailed{OrderID: "refused by the carrier", Reason: "address_not_served", OccurredAt: now}),
		order("cancelled at once"), stopped("cancelled at once"),
		deliveryOf(app.OnPaymentVoided, events.PaymentVoided{OrderID: "cancelled at once", OccurredAt: now}),
		order("cancelled later"), pay("cancelled later"), stopped("cancelled later"),
		order("cancelled too late"), pay("cancelled too late"), dispatched("cancelled too late"),
		pay("items come last"), order("items come last"),
		stopped("tombstone"), pay("tombstone"), order("tombstone"),
		order("gone although cancelled"), stopped("gone although cancelled"), pay("gone although cancelled"), dispatched("gone although cancelled"),
	}
}

// orchestratedSagas returns commands, and what the outside reports. An answer is an event, so a command that
// comes again adds one.
func orchestratedSagas() []delivery {
	now := time.Now()
	reserve := func(id, sku string) delivery {
		return deliveryIn(event.Orchestrated, app.OnReserveInventory, events.ReserveInventory{OrderID: id, Items: []events.ItemToReserve{{SKU: sku, Quantity: 1}}, OccurredAt: now})
	}
	release := func(id string) delivery {
		return deliveryIn(event.Orchestrated, app.OnReleaseInventory, events.ReleaseInventory{OrderID: id, Reason: "deadline", OccurredAt: now})
	}
	dispatched := func(id string) delivery {
		return deliveryIn(event.Orchestrated, app.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, DispatchedAt: now, OccurredAt: now})
	}
	return []delivery{
		reserve("commanded", "A"), dispatched("commanded"), release("commanded"),
		reserve("commanded and released", "B"), reserve("commanded and released", "B"), release("commanded and released"),
		release("released before"), reserve("released before", "B"), release("released before"),
		reserve("commanded in vain", "NEVER"), release("commanded in vain"),
		reserve("of two styles", "A"), deliveryOf(app.OnPaymentVoided, events.PaymentVoided{OrderID: "of two styles", OccurredAt: now}), release("of two styles"),
		deliveryOf(app.OnPaymentCompleted, paid("of two styles too")), reserve("of two styles too", "B"), dispatched("of two styles too"),
	}
}

func (f *fixture) react(e delivery) { f.reactTo(e) }

// reactTo applies events as one set.
func (f *fixture) reactTo(evs ...delivery) {
	f.t.Helper()
	steps := make([]reaction.Step[app.Input], len(evs))
	for i, e := range evs {
		steps[i] = f.app.Reservations.Step(e.order, e.input, e.cause)
	}
	if err := f.take(steps...); err != nil {
		f.t.Fatalf("%d events from %s of %q: %v", len(evs), evs[0].name, evs[0].order, err)
	}
}

// interleaved returns an order of arrival that, like Kafka, keeps the order of each order's events
// on each topic and nothing else.
func interleaved(random *rand.Rand, all []delivery) []delivery {
	type queue struct{ topic, order string }
	waiting := map[queue][]delivery{}
	out := slices.Clone(all)
	for _, e := range all {
		k := queue{e.topic, e.order}
		waiting[k] = append(waiting[k], e)
	}
	random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	for i, e := range out {
		k := queue{e.topic, e.order}
		out[i], waiting[k] = waiting[k][0], waiting[k][1:]
	}
	return out
}

// everything returns every row of every table that the reactions write, sorted.
func (f *fixture) everything() []string {
	f.t.Helper()
	var all []string
	for _, table := range []string{"stock", "receipts", "reservations", "reservation_items", "outbox"} {
		rows, err := f.pool.Query(f.t.Context(), fmt.Sprintf("SELECT to_jsonb(t) FROM %s t ORDER BY to_jsonb(t)::text", table))
		f.must(err)
		found, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
		f.must(err)
		for _, row := range found {
			all = append(all, strings.Join([]string{table, string(row)}, " "))
		}
	}
	return all
}
