package eventstore_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/pgtest"
)

// recordAt appends versions of a stream with the given times.
func recordAt(t *testing.T, pool *pgxpool.Pool, stream string, times []time.Time) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `INSERT INTO events (stream_id, version, event_type, data, recorded_at)
		SELECT $1, n.version, 'A', '{}', n.at FROM unnest($2::timestamptz[]) WITH ORDINALITY AS n (at, version)`, stream, times)
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheGreatestVersionByThen compares VersionAt with a look at every event, for streams around the lengths
// at which the search changes, whose clock steps back now and then.
func TestTheGreatestVersionByThen(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	random := rand.New(rand.NewPCG(1, 2))
	noon := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, length := range []int{1, 2, 99, 100, 101, 102, 199, 200, 201, 300, 301, 457} {
		for _, steps := range []int{0, 1, 5, 1000} { // how often the clock is set back
			stream := fmt.Sprintf("s-%d-%d", length, steps)
			times, clock := make([]time.Time, length), noon
			for i := range times {
				clock = clock.Add(time.Duration(random.IntN(3)) * time.Second) // several at the same time
				if random.IntN(length) < steps {
					clock = clock.Add(-time.Duration(random.IntN(2*length)) * time.Second)
				}
				times[i] = clock
			}
			recordAt(t, pool, stream, times)
			asked := []time.Time{noon.Add(-24 * time.Hour), noon.Add(24 * time.Hour)}
			for range 20 {
				at := times[random.IntN(length)]
				asked = append(asked, at, at.Add(-time.Microsecond), at.Add(time.Microsecond))
			}
			for _, at := range asked {
				want := int64(0)
				for i, recorded := range times {
					if !recorded.After(at) {
						want = int64(i + 1)
					}
				}
				if got, err := eventstore.VersionAt(t.Context(), pool, stream, at); got != want || err != nil {
					t.Errorf("%d events, clock set back %d times: version %d, %v; want %d", length, steps, got, err, want)
				}
			}
		}
	}
}

// TestThePastIsFoundByItsIndex: the rows read for the version at an instant are at most two hundred and one per
// further hundred, wherever the instant lies and however often the statement has run.
func TestThePastIsFoundByItsIndex(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	const length = 10_000
	noon := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	times := make([]time.Time, length)
	for i := range times {
		times[i] = noon.Add(time.Duration(i) * time.Second)
	}
	recordAt(t, pool, "long", times)
	_, err := pool.Exec(t.Context(), `INSERT INTO events (stream_id, version, event_type, data, recorded_at)
		SELECT 'order-' || s, v, 'A', '{}', now() FROM generate_series(1, 5000) s, generate_series(1, 8) v`)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	read := func(want int64) (rows int) {
		t.Helper()
		err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			const counted = `SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::int FROM pg_stat_xact_user_tables`
			var before, after int
			if err := tx.QueryRow(t.Context(), counted).Scan(&before); err != nil {
				return err
			}
			got, err := eventstore.VersionAt(t.Context(), tx, "long", noon.Add(time.Duration(want-1)*time.Second))
			if err != nil || got != want {
				t.Errorf("version %d, %v; want %d", got, err, want)
			}
			err = tx.QueryRow(t.Context(), counted).Scan(&after)
			rows = after - before
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	for round := range 12 {
		if round == 6 {
			if _, err := pool.Exec(t.Context(), `ANALYZE`); err != nil {
				t.Fatal(err)
			}
		}
		for _, version := range []int64{1, 150, 5_000, length} {
			if rows := read(version); rows < 1 || rows > 300 {
				t.Errorf("%d rows read for version %d in round %d", rows, version, round)
			}
		}
	}
}
