package app_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// replay hears events in a transaction that is rolled back, and gives all rows
// they led to.
func (m *models) replay(t *rapid.T, evs []said) string {
	ctx := m.t.Context()
	tx, err := m.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tx.Rollback(ctx); err != nil {
			t.Error(err)
		}
	}()
	for _, e := range evs {
		if err := e.react(ctx, tx); err != nil {
			t.Fatalf("%s of %s: %v", e.name, e.order, err)
		}
	}
	rows, err := dump(ctx, tx)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// everything is all sagas' events, saga after saga.
func (m *models) everything() []said {
	sagas := m.sagas()
	var all []said
	for _, name := range slices.Sorted(maps.Keys(sagas)) {
		all = append(all, sagas[name].told...)
	}
	return all
}

// TestAnyInterleavingGivesTheSameRows is what a rebuild from offset 0 relies on:
// Kafka keeps the order of one order's events within a topic and promises
// nothing between topics, nor between orders.
func TestAnyInterleavingGivesTheSameRows(t *testing.T) {
	m := newModels(t)
	all := m.everything()
	var want string
	rapid.Check(t, func(t *rapid.T) {
		if want == "" {
			want = m.replay(t, all)
		}
		if diff := cmp.Diff(want, m.replay(t, interleaved(t, all))); diff != "" {
			t.Fatalf("rows (-in order +interleaved):\n%s", diff)
		}
	})
}

// TestAnyOrderOfArrivalGivesTheSameRows goes further than Kafka does: also
// within a topic any event may be late, as dead letters are.
func TestAnyOrderOfArrivalGivesTheSameRows(t *testing.T) {
	m := newModels(t)
	all := m.everything()
	var want string
	rapid.Check(t, func(t *rapid.T) {
		if want == "" {
			want = m.replay(t, all)
		}
		if diff := cmp.Diff(want, m.replay(t, rapid.Permutation(all).Draw(t, "arrival"))); diff != "" {
			t.Fatalf("rows (-in order +shuffled):\n%s", diff)
		}
	})
}

// interleaved draws an order of arrival that keeps the order of each order's
// events on each topic: the places are shuffled, and the events of one queue
// take the places that fell to it in their own order.
func interleaved(t *rapid.T, all []said) []said {
	type queue struct{ topic, order string }
	waiting := map[queue][]said{}
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
