package reaction_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
)

func TestMain(m *testing.M) {
	if err := pgtest.SkipExamples(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// lockers is a set of states: the free lockers of each site.
type lockers struct{ free, changed map[string]int }

func (l *lockers) Get(site string) int       { return l.free[site] }
func (l *lockers) Put(site string, free int) { l.free[site], l.changed[site] = free, free }

// Save writes the set with one statement, whatever its size.
func (l *lockers) Save(ctx context.Context, tx pgx.Tx) error {
	sites := slices.Collect(maps.Keys(l.changed))
	free := make([]int, len(sites))
	for i, site := range sites {
		free[i] = l.changed[site]
	}
	_, err := tx.Exec(ctx, `UPDATE lockers SET free = n.free FROM unnest($1::text[], $2::int[]) AS n (site, free)
		WHERE lockers.site = n.site`, sites, free)
	return err
}

// loadLockers creates the missing rows and locks all of them, in key order.
func loadLockers(ctx context.Context, tx pgx.Tx, steps []reaction.Step[int]) (reaction.Set[int], error) {
	sites := reaction.Keys(steps)
	if _, err := tx.Exec(ctx, `INSERT INTO lockers SELECT site, 5 FROM unnest($1::text[]) AS s (site) ORDER BY site ON CONFLICT DO NOTHING`, sites); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT site, free FROM lockers WHERE site = ANY($1) ORDER BY site FOR UPDATE`, sites)
	if err != nil {
		return nil, err
	}
	set := &lockers{map[string]int{}, map[string]int{}}
	var site string
	var free int
	_, err = pgx.ForEachRow(rows, []any{&site, &free}, func() error { set.free[site] = free; return nil })
	return set, err
}

// reserve decides. It reads no clock and does no I/O, so a test is a table of states and inputs.
func reserve(free int, s reaction.Step[int]) (reaction.Decision[int], error) {
	if s.Input > free {
		return reaction.Decision[int]{}, fmt.Errorf("%d lockers wanted, %d free", s.Input, free)
	}
	return reaction.Decision[int]{State: free - s.Input, Changed: true}, nil
}

// Three steps are loaded, decided and saved in one transaction. The second sees what the first has
// decided. The third fails and takes nothing with it.
func ExampleModel() {
	ctx := context.Background()
	pool, drop, err := pgtest.ExampleDB(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop()
	if _, err := pool.Exec(ctx, `CREATE TABLE lockers (site text PRIMARY KEY, free int NOT NULL)`); err != nil {
		fmt.Println(err)
		return
	}
	model := &reaction.Model[int, int]{Load: loadLockers, Decide: reserve}
	steps := []reaction.Step[int]{
		model.Step("station", 3, outbox.Cause{}), model.Step("station", 1, outbox.Cause{}), model.Step("airport", 6, outbox.Cause{}),
	}

	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		work, err := model.Begin(ctx, tx, steps)
		if err != nil {
			return err
		}
		for i, s := range steps {
			d, err := work.Decide(ctx, i)
			fmt.Println(s.Key, d.State, err)
		}
		return work.Save(ctx, tx)
	})
	var left int
	err = errors.Join(err, pool.QueryRow(ctx, `SELECT free FROM lockers WHERE site = 'station'`).Scan(&left))
	fmt.Println("free at the station:", left, err)
	// Output:
	// station 2 <nil>
	// station 1 <nil>
	// airport 0 6 lockers wanted, 5 free
	// free at the station: 1 <nil>
}
