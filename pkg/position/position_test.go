package position_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/position"
	"eventshop.example/pkg/postgres"
)

const group = "testers"

// offsets are those of some partitions.
type offsets = map[position.Partition]int64

// advance moves positions in a transaction of their own.
func advance(t *testing.T, pool *pgxpool.Pool, group string, to offsets) (before offsets) {
	t.Helper()
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) (err error) {
		before, err = position.Advance(t.Context(), tx, group, to)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return before
}

func check(t *testing.T, what string, got, want offsets) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestAPositionNeverGoesBack(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, position.Component())
	p := position.Partition{Topic: "parcel.events", TopicID: uuid.New(), Number: 3}
	check(t, "first", advance(t, pool, group, offsets{p: 5}), offsets{})
	check(t, "further", advance(t, pool, group, offsets{p: 9}), offsets{p: 5})
	check(t, "back", advance(t, pool, group, offsets{p: 7}), offsets{p: 9})
	check(t, "after that", advance(t, pool, group, offsets{p: 9}), offsets{p: 9})
	check(t, "none", advance(t, pool, group, nil), offsets{})
}

// TestRead: the positions of a group, each with its topic.
func TestRead(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, position.Component())
	p := position.Partition{Topic: "parcel.events", TopicID: uuid.New(), Number: 3}
	other := position.Partition{Topic: "truck.events", TopicID: uuid.New()}
	for _, to := range []offsets{{p: 5}, {p: 9, other: 2}} {
		advance(t, pool, group, to)
	}
	advance(t, pool, "others", offsets{p: 1})
	for of, want := range map[string]offsets{group: {p: 9, other: 2}, "others": {p: 1}, "strangers": {}} {
		got, err := position.Read(t.Context(), pool, of)
		if err != nil {
			t.Fatal(err)
		}
		check(t, of, got, want)
	}
}

// TestPositionsAreApart: those of partitions, of groups, and of topics that had the same name.
func TestPositionsAreApart(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, position.Component())
	p := position.Partition{Topic: "parcel.events", TopicID: uuid.New()}
	other, again := p, p
	other.Number, again.TopicID = 1, uuid.New()
	advance(t, pool, group, offsets{p: 5, other: 6})
	check(t, "of another group", advance(t, pool, "others", offsets{p: 1}), offsets{})
	check(t, "of the topic that was created again", advance(t, pool, group, offsets{again: 2}), offsets{})
	check(t, "of all", advance(t, pool, group, offsets{p: 7, other: 7, again: 7}), offsets{p: 5, other: 6, again: 2})
}

// TestASecondOwnerWaits: it sees where the first has left the position, or, after a rollback, where
// it was before. Both new partitions and known ones are tried.
func TestASecondOwnerWaits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		known, commits bool
		want           func(p position.Partition) offsets
	}{
		"a known partition, committed":   {true, true, func(p position.Partition) offsets { return offsets{p: 9} }},
		"a known partition, rolled back": {true, false, func(p position.Partition) offsets { return offsets{p: 5} }},
		"a new partition, committed":     {false, true, func(p position.Partition) offsets { return offsets{p: 9} }},
		"a new partition, rolled back":   {false, false, func(position.Partition) offsets { return offsets{} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.NewDB(t, position.Component())
			p := position.Partition{Topic: "parcel.events", TopicID: uuid.New()}
			if tc.known {
				advance(t, pool, group, offsets{p: 5})
			}
			first, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := position.Advance(t.Context(), first, group, offsets{p: 9}); err != nil {
				t.Fatal(err)
			}
			second := make(chan offsets, 1)
			go func() {
				var before offsets
				err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) (err error) {
					before, err = position.Advance(t.Context(), tx, group, offsets{p: 7})
					return err
				})
				if err != nil {
					t.Error(err)
				}
				second <- before
			}()
			kafkatest.Eventually(t, "the second to wait", func() bool {
				var yes bool
				err := pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
					WHERE a.datname = current_database() AND NOT l.granted)`).Scan(&yes)
				return err == nil && yes
			})
			select {
			case before := <-second:
				t.Fatalf("the second did not wait: %v", before)
			default:
			}
			end := first.Rollback
			if tc.commits {
				end = first.Commit
			}
			if err := end(t.Context()); err != nil {
				t.Fatal(err)
			}
			check(t, "before the second", <-second, tc.want(p))
		})
	}
}

func TestADatabaseThatIsDownIsTransient(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, position.Component())
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }() // gives the closed connection back
	if err := tx.Conn().Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = position.Advance(t.Context(), tx, group, offsets{{TopicID: uuid.New()}: 1})
	if errs.KindOf(err) != errs.Transient {
		t.Errorf("%v is not transient", err)
	}
}
