package eventstore_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

func facts(types ...string) []eventstore.NewRecord {
	var recs []eventstore.NewRecord
	for _, name := range types {
		recs = append(recs, eventstore.NewRecord{Type: name, Data: json.RawMessage(`{"of": "` + name + `"}`)})
	}
	return recs
}

func tryAppend(t *testing.T, pool *pgxpool.Pool, stream string, expected int64, recs []eventstore.NewRecord) (stored []eventstore.Record, err error) {
	err = postgres.InTx(t.Context(), pool, func(tx pgx.Tx) (err error) {
		stored, err = eventstore.Append(t.Context(), tx, stream, expected, recs)
		return err
	})
	return stored, err
}

func mustAppend(t *testing.T, pool *pgxpool.Pool, stream string, expected int64, types ...string) []eventstore.Record {
	t.Helper()
	stored, err := tryAppend(t, pool, stream, expected, facts(types...))
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// brief writes records as "1 Created, 2 Confirmed".
func brief(recs []eventstore.Record, err error) string {
	if err != nil {
		return err.Error()
	}
	var parts []string
	for _, r := range recs {
		parts = append(parts, fmt.Sprintf("%d %s", r.Version, r.Type))
	}
	return strings.Join(parts, ", ")
}

func TestAppendAndLoad(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	var stored []eventstore.Record
	stored, err := tryAppend(t, pool, "order-1", 0, []eventstore.NewRecord{
		{Type: "OrderCreated", Data: json.RawMessage(`{"n":1}`), Metadata: json.RawMessage(`{"correlationId":"c"}`)},
		{Type: "ItemAdded", Data: json.RawMessage(`{"n":2}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	stored = append(stored, mustAppend(t, pool, "order-1", 2, "OrderConfirmed")...)
	mustAppend(t, pool, "order-2", 0, "OrderCreated")

	loaded, err := eventstore.Load(t.Context(), pool, "order-1", 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stored, loaded); diff != "" {
		t.Errorf("loaded is not what append returned (-stored +loaded):\n%s", diff)
	}
	if got, want := brief(loaded, nil), "1 OrderCreated, 2 ItemAdded, 3 OrderConfirmed"; got != want {
		t.Errorf("loaded %s, want %s", got, want)
	}
	if got := string(loaded[0].Metadata) + string(loaded[1].Metadata); got != `{"correlationId": "c"}{}` {
		t.Errorf("metadata %s", got)
	}
	if got := brief(eventstore.Load(t.Context(), pool, "order-1", 2)); got != "3 OrderConfirmed" {
		t.Errorf("after version 2: %s", got)
	}
	if got := brief(eventstore.Load(t.Context(), pool, "nobody", 0)); got != "" {
		t.Errorf("unknown stream: %s", got)
	}
	if got := brief(tryAppend(t, pool, "order-1", 3, nil)); got != "" {
		t.Errorf("append of nothing: %s", got)
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	mustAppend(t, pool, "order-1", 0, "A", "B")
	for _, tc := range []struct {
		name     string
		stream   string
		expected int64
		recs     []eventstore.NewRecord
		want     errs.Kind
	}{
		{"version taken", "order-1", 1, facts("C"), errs.Conflict},
		{"versions partly taken", "order-1", 1, facts("C", "D"), errs.Conflict},
		{"stream exists", "order-1", 0, facts("A"), errs.Conflict},
		{"gap", "order-1", 3, facts("D"), errs.Conflict},
		{"stream does not exist", "order-2", 1, facts("B"), errs.Conflict},
		{"negative version", "order-1", -1, facts("A"), errs.Invalid},
		{"no stream id", "", 0, facts("A"), errs.Invalid},
		{"no JSON", "order-1", 2, []eventstore.NewRecord{{Type: "C", Data: json.RawMessage(`{`)}}, errs.Invalid},
		{"no type", "order-1", 2, []eventstore.NewRecord{{Data: json.RawMessage(`{}`)}}, errs.Invalid},
		{"NUL in a text", "order-1", 2, []eventstore.NewRecord{{Type: "C", Data: json.RawMessage(`{"a":"\u0000"}`)}}, errs.Invalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tryAppend(t, pool, tc.stream, tc.expected, tc.recs)
			if got := errs.KindOf(err); err == nil || got != tc.want {
				t.Errorf("kind %v of %v, want %v", got, err, tc.want)
			}
			// The package says it of its own knowledge, so that it is an answer for a caller: a
			// kind that only follows from a SQLSTATE is a fault of the server at the HTTP edge.
			if tc.name != "no stream id" && tc.name != "NUL in a text" && errs.Derived(err) {
				t.Errorf("the kind of %v only follows from its SQLSTATE", err)
			}
		})
	}
	if got := brief(eventstore.Load(t.Context(), pool, "order-1", 0)); got != "1 A, 2 B" {
		t.Errorf("the stream became %s", got)
	}
}

// TestOneWriterWinsEachVersion lets writers append to the same stream as fast as
// they can, each on the version it last knew.
func TestOneWriterWinsEachVersion(t *testing.T) {
	t.Parallel()
	const writers, rounds = 6, 15
	pool := pgtest.NewDB(t, eventstore.Component())
	var mu sync.Mutex
	won := map[int64]int{}
	for version := range int64(rounds) {
		start := make(chan struct{})
		var g errgroup.Group
		for writer := range writers {
			g.Go(func() error {
				<-start
				_, err := tryAppend(t, pool, "order-1", version, facts(fmt.Sprintf("ByWriter%d", writer)))
				if err != nil && errs.KindOf(err) != errs.Conflict {
					return err
				}
				if err == nil {
					mu.Lock()
					won[version+1]++
					mu.Unlock()
				}
				return nil
			})
		}
		close(start)
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	recs, err := eventstore.Load(t.Context(), pool, "order-1", 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(recs) != rounds {
		t.Fatalf("%d events, want %d", len(recs), rounds)
	}
	for i, r := range recs {
		if r.Version != int64(i+1) || won[r.Version] != 1 {
			t.Errorf("position %d: version %d, won by %d writers; want version %d, won by 1", i, r.Version, won[r.Version], i+1)
		}
		if i > 0 && r.RecordedAt.Before(recs[i-1].RecordedAt) {
			t.Errorf("version %d was recorded before version %d", r.Version, r.Version-1)
		}
	}
}

func TestEventsCannotBeChangedNorDeleted(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	mustAppend(t, pool, "order-1", 0, "A")
	for _, sql := range []string{
		"UPDATE events SET event_type = 'B'",
		"DELETE FROM events",
		"DELETE FROM events WHERE false",
		"TRUNCATE events, snapshots",
		"INSERT INTO events (stream_id, version, event_type, data) VALUES ('order-1', 1, 'B', '{}') ON CONFLICT (stream_id, version) DO UPDATE SET event_type = 'B'",
	} {
		if _, err := pool.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: got %v, want a refusal", sql, err)
		}
	}
	if got := brief(eventstore.Load(t.Context(), pool, "order-1", 0)); got != "1 A" {
		t.Errorf("the stream became %q", got)
	}
}

func TestTemporalQueries(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	recs := mustAppend(t, pool, "order-1", 0, "A")
	recs = append(recs, mustAppend(t, pool, "order-1", 1, "B")...)
	recs = append(recs, mustAppend(t, pool, "order-1", 2, "C")...)
	if got := brief(eventstore.LoadUntilVersion(t.Context(), pool, "order-1", 2)); got != "1 A, 2 B" {
		t.Errorf("until version 2: %s", got)
	}
	for _, tc := range []struct {
		name string
		at   time.Time
		want string
	}{
		{"before the first", recs[0].RecordedAt.Add(-time.Microsecond), ""},
		{"at the second", recs[1].RecordedAt, "1 A, 2 B"},
		{"just before the second", recs[1].RecordedAt.Add(-time.Microsecond), "1 A"},
		{"later", recs[2].RecordedAt.Add(time.Hour), "1 A, 2 B, 3 C"},
	} {
		if got := brief(eventstore.LoadAt(t.Context(), pool, "order-1", tc.at)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestStreamIDs(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	for _, id := range []string{"b", "d", "a", "c", "B"} {
		mustAppend(t, pool, id, 0, "A", "B")
	}
	var pages []string
	for after := ""; ; {
		ids, err := eventstore.StreamIDs(t.Context(), pool, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 {
			break
		}
		pages = append(pages, strings.Join(ids, ""))
		after = ids[len(ids)-1]
	}
	if diff := cmp.Diff([]string{"Ba", "bc", "d"}, pages); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func TestSnapshots(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	mustAppend(t, pool, "order-1", 0, "A", "B", "C")
	save := func(version int64, state string) error {
		return eventstore.SaveSnapshot(t.Context(), pool, eventstore.Snapshot{StreamID: "order-1", Version: version, State: json.RawMessage(state)})
	}
	if _, ok, err := eventstore.LoadSnapshot(t.Context(), pool, "order-1"); ok || err != nil {
		t.Errorf("before the first: %v, %v", ok, err)
	}
	for _, version := range []int64{2, 3, 1} { // an earlier one comes late and is ignored
		if err := save(version, fmt.Sprintf(`{"at": %d}`, version)); err != nil {
			t.Fatal(err)
		}
	}
	got, ok, err := eventstore.LoadSnapshot(t.Context(), pool, "order-1")
	want := eventstore.Snapshot{StreamID: "order-1", Version: 3, State: json.RawMessage(`{"at": 3}`)}
	if diff := cmp.Diff(want, got); diff != "" || !ok || err != nil {
		t.Errorf("loaded %v, %v (-want +got):\n%s", ok, err, diff)
	}
	if err := save(4, `{}`); errs.KindOf(err) != errs.Conflict {
		t.Errorf("a version the stream does not have: %v, want Conflict", err)
	}
	if err := save(3, `{`); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no JSON: %v, want Invalid", err)
	}
}

// TestTemporalQueryAfterTheClockWasSetBack: the answer is a beginning of the stream, whatever
// the times of its rows.
func TestTemporalQueryAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	noon := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, at := range []time.Time{noon, noon.Add(-time.Hour), noon.Add(time.Hour)} {
		_, err := pool.Exec(t.Context(), `INSERT INTO events (stream_id, version, event_type, data, recorded_at) VALUES ('order-1', $1, $2, '{}', $3)`,
			i+1, string(rune('A'+i)), at)
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := brief(eventstore.LoadAt(t.Context(), pool, "order-1", noon.Add(-time.Minute))); got != "1 A, 2 B" {
		t.Errorf("before noon: %q, want all up to the last one recorded by then", got)
	}
}
