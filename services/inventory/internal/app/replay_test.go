package app_test

import (
	"context"
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
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres"
)

// said is an event that was published, with the reaction to it.
type said struct {
	topic, order, name string
	react              func(ctx context.Context, tx pgx.Tx) error
}

func says[T events.Event](handle func(context.Context, pgx.Tx, consumer.Event[T]) error, data T) said {
	e := consumer.Event[T]{Data: data}
	e.ID, e.CorrelationID = uuid.Must(uuid.NewV7()), data.AggregateKey()
	return said{
		topic: events.TypeOf[T]().Topic, order: data.AggregateKey(), name: data.EventType(),
		react: func(ctx context.Context, tx pgx.Tx) error { return handle(ctx, tx, e) },
	}
}

// TestReplayHasNoEffect tells every saga, and then all of it again without an inbox: from
// the beginning, and with the topics in other orders. Nothing fails, no row changes and no
// event is added.
func TestReplayHasNoEffect(t *testing.T) {
	s := newShelf(t, map[string]int64{"A": 100, "B": 1})
	a := s.app
	now := time.Now()
	order := func(id string) said {
		return says(a.OnOrderCreated, created(id, events.OrderItem{SKU: "A", Quantity: 2}, events.OrderItem{SKU: "A", Quantity: 1}))
	}
	pay := func(id string) said { return says(a.OnPaymentCompleted, paid(id)) }
	dispatched := func(id string) said {
		return says(a.OnShipmentDispatched, events.ShipmentDispatched{OrderID: id, DispatchedAt: now, OccurredAt: now})
	}
	stopped := func(id string) said {
		return says(a.OnShipmentCancelled, events.ShipmentCancelled{OrderID: id, Reason: "customer", OccurredAt: now})
	}
	all := []said{
		order("delivered"), pay("delivered"), dispatched("delivered"),
		order("declined"), says(a.OnPaymentFailed, events.PaymentFailed{OrderID: "declined", OccurredAt: now}),
		says(a.OnOrderCreated, created("short", events.OrderItem{SKU: "B", Quantity: 2})), pay("short"),
		says(a.OnOrderCreated, created("unknown", events.OrderItem{SKU: "NEVER", Quantity: 2})), pay("unknown"),
		says(a.OnOrderCreated, created("forged", events.OrderItem{SKU: "A", Quantity: -2})), pay("forged"),
		order("refused by the carrier"), pay("refused by the carrier"),
		says(a.OnShipmentFailed, events.ShipmentFailed{OrderID: "refused by the carrier", Reason: "address_not_served", OccurredAt: now}),
		order("cancelled at once"), stopped("cancelled at once"),
		says(a.OnPaymentVoided, events.PaymentVoided{OrderID: "cancelled at once", OccurredAt: now}),
		order("cancelled later"), pay("cancelled later"), stopped("cancelled later"),
		order("cancelled too late"), pay("cancelled too late"), dispatched("cancelled too late"),
		pay("items come last"), order("items come last"),
		stopped("tombstone"), pay("tombstone"), order("tombstone"),
		order("gone although cancelled"), stopped("gone although cancelled"), pay("gone although cancelled"), dispatched("gone although cancelled"),
	}
	for _, e := range all {
		s.react(e)
	}
	// Three pieces each are shipped for two orders, and held for the one whose items came last.
	if got := s.counts("A"); got != "91/3/6" {
		t.Fatalf("A %s, want 91/3/6", got)
	}
	want := s.everything()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 25 {
		again := slices.Clone(all)
		switch {
		case round == 0: // from the beginning, as it was
		case round < 15:
			again = interleaved(random, all)
		default:
			random.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		}
		for _, e := range again {
			s.react(e)
		}
		if diff := cmp.Diff(want, s.everything()); diff != "" {
			t.Fatalf("after replay %d (-before +after):\n%s", round, diff)
		}
	}
}

func (s *shelf) react(e said) {
	s.t.Helper()
	if err := postgres.InTx(s.t.Context(), s.pool, func(tx pgx.Tx) error { return e.react(s.t.Context(), tx) }); err != nil {
		s.t.Fatalf("%s of %q: %v", e.name, e.order, err)
	}
}

// interleaved is an order of arrival that keeps the order of each order's events on each
// topic, as Kafka does, and nothing else.
func interleaved(random *rand.Rand, all []said) []said {
	type queue struct{ topic, order string }
	waiting := map[queue][]said{}
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

// everything is every row of every table that the reactions write, sorted.
func (s *shelf) everything() []string {
	s.t.Helper()
	var all []string
	for _, table := range []string{"stock", "receipts", "reservations", "reservation_items", "outbox"} {
		rows, err := s.pool.Query(s.t.Context(), fmt.Sprintf("SELECT to_jsonb(t) FROM %s t ORDER BY to_jsonb(t)::text", table))
		s.must(err)
		found, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
		s.must(err)
		for _, row := range found {
			all = append(all, strings.Join([]string{table, string(row)}, " "))
		}
	}
	return all
}
