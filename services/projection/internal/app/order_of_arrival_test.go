package app_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/projection/internal/app"
)

// replay processes events one by one in a transaction that is rolled back, and returns all
// resulting rows.
func (f *fixture) replay(t *rapid.T, evs []delivery) string {
	return f.replaySets(t, slices.Collect(slices.Chunk(evs, 1)))
}

// replaySets is replay for sets of events.
func (f *fixture) replaySets(t *rapid.T, sets [][]delivery) string {
	ctx := f.t.Context()
	tx, err := f.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tx.Rollback(ctx); err != nil {
			t.Error(err)
		}
	}()
	for _, set := range sets {
		if err := f.react(ctx, tx, set...); err != nil {
			t.Fatalf("%d events from %s of %s: %v", len(set), set[0].name, set[0].order, err)
		}
	}
	rows, err := dump(ctx, tx)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// everything returns the events of all sagas, saga after saga.
func (f *fixture) everything() []delivery {
	sagas := f.sagas()
	var all []delivery
	for _, name := range slices.Sorted(maps.Keys(sagas)) {
		all = append(all, sagas[name].deliveries...)
	}
	return all
}

// TestAnyInterleavingGivesTheSameRows: a rebuild from offset 0 relies on this. Kafka keeps the
// order of one order's events within a topic. It guarantees no order between topics or between
// orders.
func TestAnyInterleavingGivesTheSameRows(t *testing.T) {
	f := newFixture(t)
	all := f.everything()
	var want string
	rapid.Check(t, func(t *rapid.T) {
		if want == "" {
			want = f.replay(t, all)
		}
		if diff := cmp.Diff(want, f.replay(t, interleaved(t, all))); diff != "" {
			t.Fatalf("rows (-in order +interleaved):\n%s", diff)
		}
	})
}

// TestAnySetsGiveTheSameRows: the size of the sets does not matter, nor do events that are twice in
// a set.
func TestAnySetsGiveTheSameRows(t *testing.T) {
	f := newFixture(t)
	all := f.everything()
	var want string
	rapid.Check(t, func(t *rapid.T) {
		if want == "" {
			want = f.replay(t, all)
		}
		left := interleaved(t, all)
		var sets [][]delivery
		for len(left) > 0 {
			n := rapid.IntRange(1, len(left)).Draw(t, "events")
			set := slices.Clone(left[:n])
			if rapid.Bool().Draw(t, "twice") {
				set = append(set, rapid.SampledFrom(set).Draw(t, "again"))
			}
			sets, left = append(sets, set), left[n:]
		}
		if diff := cmp.Diff(want, f.replaySets(t, sets)); diff != "" {
			t.Fatalf("rows (-one by one +in sets):\n%s", diff)
		}
	})
}

// TestAnyOrderOfArrivalGivesTheSameRows goes further than Kafka does: any event can be late within
// its topic too, like a dead letter.
func TestAnyOrderOfArrivalGivesTheSameRows(t *testing.T) {
	f := newFixture(t)
	all := f.everything()
	var want string
	rapid.Check(t, func(t *rapid.T) {
		if want == "" {
			want = f.replay(t, all)
		}
		if diff := cmp.Diff(want, f.replay(t, rapid.Permutation(all).Draw(t, "arrival"))); diff != "" {
			t.Fatalf("rows (-in order +shuffled):\n%s", diff)
		}
	})
}

// interleaved draws an order of arrival that keeps the order of each order's events on each topic.
// It shuffles the positions and then fills the positions of each queue with its events in order.
func interleaved(t *rapid.T, all []delivery) []delivery {
	type queue struct{ topic, order string }
	waiting := map[queue][]delivery{}
	for _, e := range all {
		k := queue{e.topic, e.order}
		waiting[k] = append(waiting[k], e)
	}
	out := rapid.Permutation(all).Draw(t, "places")
	for i, e := range out {
		k := queue{e.topic, e.order}
		out[i], waiting[k] = waiting[k][0], waiting[k][1:]
	}
	return out
}

// TestASetTakesTwoRoundTrips, whatever its size: the facts and what is new of them, then the other
// tables with COMMIT.
func TestASetTakesTwoRoundTrips(t *testing.T) {
	f := newFixture(t)
	pool, trips := pgtest.RoundTrips(t, f.pool)
	set := func(orders int) []delivery {
		var all []delivery
		for range orders {
			id := uuid.Must(uuid.NewV7()).String()
			all = append(all,
				deliveryOf(app.OnOrderCreated, 1, events.OrderCreated{OrderID: id, Currency: "GBP", Items: []events.OrderItem{{SKU: "A", Quantity: 1}}, OccurredAt: start}),
				deliveryOf(app.OnPaymentCompleted, 1, events.PaymentCompleted{OrderID: id, Amount: 5, Currency: "GBP", OccurredAt: start}))
		}
		return all
	}
	react := func(evs []delivery) int {
		before := trips()
		if err := postgres.InPipeline(t.Context(), pool, func(tx pgx.Tx) error { return f.react(t.Context(), tx, evs...) }); err != nil {
			t.Fatal(err)
		}
		return trips() - before
	}
	react(set(1)) // the first use of a statement prepares it
	for _, orders := range []int{1, 250} {
		if n := react(set(orders)); n != 2 {
			t.Errorf("%d orders take %d round trips, want 2", orders, n)
		}
	}
	again := set(3)
	react(again)
	if n := react(again); n != 2 {
		t.Errorf("a set without a new fact takes %d round trips, want 2", n)
	}
}
