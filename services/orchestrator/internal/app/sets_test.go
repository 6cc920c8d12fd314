package app_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/pgtest"
	"eventshop.example/services/orchestrator/internal/app"
	"eventshop.example/services/orchestrator/orchestrator"
)

// TestSetsDoTheSame: however the events of several orders are divided into sets, the same rows are stored
// and the same commands follow, with the same ids. A set has sagas of all definitions.
func TestSetsDoTheSame(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var orders [][]delivery
	begun := map[string]int{} // orders whose sagas begin before the sets, by the definition
	var first []delivery
	for _, definition := range orchestrator.Definitions() {
		for _, road := range roads(definition) {
			id := newOrder()
			var all []delivery
			for _, in := range inputsOf(road.inputs) {
				if in != orchestrator.DuePassed && in != orchestrator.Retry {
					all = append(all, usual(id, in))
				}
			}
			if definition.Version > 1 {
				begun[id], first = definition.Version, append(first, all[0])
			}
			orders = append(orders, all)
		}
	}
	var all []delivery // of each order in its order
	for len(orders) > 0 {
		i := random.IntN(len(orders))
		all, orders[i] = append(all, orders[i][0]), orders[i][1:]
		if len(orders[i]) == 0 {
			orders = slices.Delete(orders, i, i+1)
		}
	}
	stored := func(f *fixture) []string {
		var rows []string
		for _, d := range all {
			row, log := f.saga(d.order)
			rows = append(rows, fmt.Sprint(row.OrderID, row.Definition, row.State, row.Attempt, row.CompensationsDue, row.Attention, row.Reason, row.Detail, row.TrackingID, row.Version, log))
			for _, c := range f.commands(d.order) {
				rows = append(rows, fmt.Sprint(c.id, c.version, c.event))
			}
		}
		return rows
	}
	var want []string
	for _, most := range []int{1, 3, 10, len(all)} {
		t.Run(fmt.Sprintf("up to %d", most), func(t *testing.T) {
			f := serialFixture(t)
			for _, d := range first {
				f.must(f.reactAt(f.process(app.Config{Begin: begun[d.order]}), d))
			}
			for left := all; len(left) > 0; {
				n := min(1+random.IntN(most), len(left))
				f.must(f.react(left[:n]...))
				left = left[n:]
			}
			if want == nil {
				want = stored(f)
			}
			if diff := cmp.Diff(want, stored(f)); diff != "" {
				t.Errorf("rows (-one by one +in sets):\n%s", diff)
			}
		})
	}
}

// TestRoundTripsOfASet: a set of events takes three round trips, whatever their number: rows are locked,
// the logs are asked for the events, and everything is saved and committed.
func TestRoundTripsOfASet(t *testing.T) {
	f := newFixture(t)
	pool, trips := pgtest.RoundTrips(t, f.pool)
	f.pool = pool
	next := func(n int, in orchestrator.Input) (ds []delivery) {
		for range n {
			ds = append(ds, usual(newOrder(), in))
		}
		return ds
	}
	f.must(f.react(next(2, orchestrator.OrderCreated)...)) // prepares the statements
	for _, n := range []int{1, 50} {
		before := trips()
		f.must(f.react(next(n, orchestrator.OrderCreated)...))
		if got := trips() - before; got != 3 {
			t.Errorf("%d events: %d round trips, want 3", n, got)
		}
	}
}
