package eventstore_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// TestWritersThatLock makes writers append to overlapping sets of streams, in random order. None
// conflicts, none deadlocks, and no version is lost.
func TestWritersThatLock(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	var all []string
	for i := range 6 {
		all = append(all, fmt.Sprintf("s%d", i))
		mustAppend(t, pool, all[i], 0, "Created")
	}
	const writers, rounds = 6, 20
	var wrote [6]int
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range writers {
		wait.Go(func() {
			for range rounds {
				streams := slices.Clone(all)
				rand.Shuffle(len(streams), func(i, j int) { streams[i], streams[j] = streams[j], streams[i] })
				streams = streams[:1+rand.IntN(4)]
				err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
					if err := eventstore.Lock(t.Context(), tx, streams...); err != nil {
						return err
					}
					tails, err := eventstore.LoadTails(t.Context(), tx, 1, eventstore.Latest, streams...)
					if err != nil {
						return err
					}
					var appends []eventstore.Appended
					for _, id := range streams {
						appends = append(appends, eventstore.Appended{StreamID: id, Expected: int64(len(tails[id].Records)), Records: facts("Moved", "Painted")})
					}
					return eventstore.AppendAll(t.Context(), tx, appends...)
				})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, id := range streams {
					wrote[slices.Index(all, id)] += 2
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	for i, id := range all {
		recs, err := eventstore.Load(t.Context(), pool, id, 0)
		if err != nil || len(recs) != 1+wrote[i] {
			t.Errorf("%s has %d events, %v; want %d", id, len(recs), err, 1+wrote[i])
		}
	}
}

// TestLockWaits: the second writer waits for the first one and then sees what it appended. A stream
// without events is not locked and leaves no row.
func TestLockWaits(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	mustAppend(t, pool, "a", 0, "Created")
	second := make(chan string, 1)
	err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		if err := eventstore.Lock(t.Context(), tx, "missing", "a", "a"); err != nil {
			return err
		}
		go func() {
			var seen string
			err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
				if err := eventstore.Lock(t.Context(), tx, "a"); err != nil {
					return err
				}
				tails, err := eventstore.LoadTails(t.Context(), tx, 1, eventstore.Latest, "a")
				seen = brief(tails["a"].Records, err)
				return err
			})
			if err != nil {
				seen = err.Error()
			}
			second <- seen
		}()
		_, err := eventstore.Append(t.Context(), tx, "a", 1, facts("Moved"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-second; got != "1 Created, 2 Moved" {
		t.Errorf("the second writer sees %s", got)
	}
	var rows []string
	if err := pool.QueryRow(t.Context(), `SELECT array_agg(stream_id) FROM streams`).Scan(&rows); err != nil || !slices.Equal(rows, []string{"a"}) {
		t.Errorf("rows to lock: %v, %v", rows, err)
	}
}

// TestSetsOfStreams: a set is appended as its streams are one by one, and an append with one wrong
// version appends nothing.
func TestSetsOfStreams(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	for _, id := range []string{"a", "b", "c"} {
		mustAppend(t, pool, id, 0, "Created", "Moved", "Painted")
	}
	appendAll := func(expected int64) error {
		return postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			return eventstore.AppendAll(t.Context(), tx,
				eventstore.Appended{StreamID: "a", Expected: 3, Records: facts("Sold", "Sent")},
				eventstore.Appended{StreamID: "b", Expected: 3},
				eventstore.Appended{StreamID: "c", Expected: expected, Records: facts("Sold")},
				eventstore.Appended{StreamID: "d", Expected: 0, Records: facts("Created", "Moved")})
		})
	}
	for _, wrong := range []int64{2, 4} {
		if err := appendAll(wrong); errs.KindOf(err) != errs.Conflict {
			t.Errorf("append at version %d of 3: %v", wrong, err)
		}
	}
	if err := appendAll(3); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		"a": "1 Created, 2 Moved, 3 Painted, 4 Sold, 5 Sent", "b": "1 Created, 2 Moved, 3 Painted",
		"c": "1 Created, 2 Moved, 3 Painted, 4 Sold", "d": "1 Created, 2 Moved",
	} {
		if got := brief(eventstore.Load(t.Context(), pool, id, 0)); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}

func TestMarked(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	recs := facts("Created", "Moved")
	recs[1].Metadata = json.RawMessage(`{"cause": "m-1", "by": "ada"}`)
	if _, err := tryAppend(t, pool, "a", 0, recs); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, pool, "b", 0, "Created")
	mark := func(stream, metadata string) eventstore.Mark {
		return eventstore.Mark{StreamID: stream, Metadata: json.RawMessage(metadata)}
	}
	got, err := eventstore.Marked(t.Context(), pool,
		mark("b", `{"cause": "m-1"}`), mark("a", `{"cause": "m-1"}`), mark("a", `{"cause": "m-2"}`), mark("none", `{"cause": "m-1"}`), mark("a", `{"cause": "m-1"}`))
	if want := []bool{false, true, false, false, true}; err != nil || !slices.Equal(got, want) {
		t.Errorf("marked: %v, %v; want %v", got, err, want)
	}
}
