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

// brief returns records as "1 Created, 2 Confirmed".
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
	stored, err := tryAppend(t, pool, "parcel-1", 0, []eventstore.NewRecord{
		{Type: "ParcelAccepted", Data: json.RawMessage(`{"n":1}`), Metadata: json.RawMessage(`{"correlationId":"c"}`)},
		{Type: "ItemAdded", Data: json.RawMessage(`{"n":2}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	stored = append(stored, mustAppend(t, pool, "parcel-1", 2, "ParcelLabelled")...)
	mustAppend(t, pool, "parcel-2", 0, "ParcelAccepted")

	loaded, err := eventstore.Load(t.Context(), pool, "parcel-1", 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stored, loaded); diff != "" {
		t.Errorf("loaded is not what append returned (-stored +loaded):\n%s", diff)
	}
	if got, want := brief(loaded, nil), "1 ParcelAccepted, 2 ItemAdded, 3 ParcelLabelled"; got != want {
		t.Errorf("loaded %s, want %s", got, want)
	}
	if got := string(loaded[0].Metadata) + string(loaded[1].Metadata); got != `{"correlationId": "c"}{}` {
		t.Errorf("metadata %s", got)
	}
	if got := brief(eventstore.Load(t.Context(), pool, "parcel-1", 2)); got != "3 ParcelLabelled" {
		t.Errorf("after version 2: %s", got)
	}
	if got := brief(eventstore.LoadPage(t.Context(), pool, "parcel-1", 1, 1)); got != "2 ItemAdded" {
		t.Errorf("a page of one after version 1: %s", got)
	}
	if got := brief(eventstore.LoadPage(t.Context(), pool, "parcel-1", 2, 9)); got != "3 ParcelLabelled" {
		t.Errorf("the last page: %s", got)
	}
	if got := brief(eventstore.Load(t.Context(), pool, "nobody", 0)); got != "" {
		t.Errorf("unknown stream: %s", got)
	}
	if got := brief(tryAppend(t, pool, "parcel-1", 3, nil)); got != "" {
		t.Errorf("append of nothing: %s", got)
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	mustAppend(t, pool, "parcel-1", 0, "A", "B")
	for _, tc := range []struct {
		name     string
		stream   string
		expected int64
		recs     []eventstore.NewRecord
		want     errs.Kind
	}{
		{"version taken", "parcel-1", 1, facts("C"), errs.Conflict},
		{"versions partly taken", "parcel-1", 1, facts("C", "D"), errs.Conflict},
		{"stream exists", "parcel-1", 0, facts("A"), errs.Conflict},
		{"gap", "parcel-1", 3, facts("D"), errs.Conflict},
		{"stream does not exist", "parcel-2", 1, facts("B"), errs.Conflict},
		{"negative version", "parcel-1", -1, facts("A"), errs.Invalid},
		{"no stream id", "", 0, facts("A"), errs.Invalid},
		{"no JSON", "parcel-1", 2, []eventstore.NewRecord{{Type: "C", Data: json.RawMessage(`{`)}}, errs.Invalid},
		{"no type", "parcel-1", 2, []eventstore.NewRecord{{Data: json.RawMessage(`{}`)}}, errs.Invalid},
		{"NUL in a text", "parcel-1", 2, []eventstore.NewRecord{{Type: "C", Data: json.RawMessage(`{"a":"\u0000"}`)}}, errs.Invalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tryAppend(t, pool, tc.stream, tc.expected, tc.recs)
			if got := errs.KindOf(err); err == nil || got != tc.want {
				t.Errorf("kind %v of %v, want %v", got, err, tc.want)
			}
			// The package sets the kind itself, so that it counts as an answer to the caller. At
			// the HTTP edge a kind that only follows from a SQLSTATE is a fault of the server.
			if tc.name != "no stream id" && tc.name != "NUL in a text" && errs.Derived(err) {
				t.Errorf("the kind of %v only follows from its SQLSTATE", err)
			}
		})
	}
	if got := brief(eventstore.Load(t.Context(), pool, "parcel-1", 0)); got != "1 A, 2 B" {
		t.Errorf("the stream became %s", got)
	}
}

// TestOneWriterWinsEachVersion lets writers append to the same stream as fast as they can, each at
// the version that it last read.
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
				_, err := tryAppend(t, pool, "parcel-1", version, facts(fmt.Sprintf("ByWriter%d", writer)))
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
	recs, err := eventstore.Load(t.Context(), pool, "parcel-1", 0)
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
	mustAppend(t, pool, "parcel-1", 0, "A")
	for _, sql := range []string{
		"UPDATE events SET event_type = 'B'",
		"DELETE FROM events",
		"DELETE FROM events WHERE false",
		"TRUNCATE events, snapshots, stream_snapshots",
		"INSERT INTO events (stream_id, version, event_type, data) VALUES ('parcel-1', 1, 'B', '{}') ON CONFLICT (stream_id, version) DO UPDATE SET event_type = 'B'",
	} {
		if _, err := pool.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: got %v, want a refusal", sql, err)
		}
	}
	if got := brief(eventstore.Load(t.Context(), pool, "parcel-1", 0)); got != "1 A" {
		t.Errorf("the stream became %q", got)
	}
}

func TestTemporalQueries(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	recs := mustAppend(t, pool, "parcel-1", 0, "A")
	recs = append(recs, mustAppend(t, pool, "parcel-1", 1, "B")...)
	recs = append(recs, mustAppend(t, pool, "parcel-1", 2, "C")...)
	if got := brief(eventstore.LoadUntilVersion(t.Context(), pool, "parcel-1", 2)); got != "1 A, 2 B" {
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
		if got := brief(eventstore.LoadAt(t.Context(), pool, "parcel-1", tc.at)); got != tc.want {
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

// TestTemporalQueriesWhateverTheClockDid: the answer is a beginning of the stream. It has every event
// that was recorded by then, and it never gets shorter with time.
func TestTemporalQueriesWhateverTheClockDid(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	noon := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	record := func(stream string, minutes ...int) {
		t.Helper()
		for i, m := range minutes {
			_, err := pool.Exec(t.Context(), `INSERT INTO events (stream_id, version, event_type, data, recorded_at) VALUES ($1, $2, 'A', '{}', $3)`,
				stream, i+1, noon.Add(time.Duration(m)*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	record("steady", 0, 1, 2, 3)
	record("same", 0, 1, 1, 1, 2) // one statement, or a coarse clock
	record("back", 0, -60, 60)    // set back by an hour, then right again
	record("ahead", 0, 600, 1, 2) // ten hours ahead for a moment
	for _, tc := range []struct {
		stream string
		minute int
		want   int64
	}{
		{"steady", -1, 0}, {"steady", 0, 1}, {"steady", 2, 3}, {"steady", 99, 4},
		{"same", 0, 1}, {"same", 1, 4}, {"same", 2, 5},
		{"back", -61, 0}, {"back", -60, 2}, {"back", 0, 2}, {"back", 59, 2}, {"back", 60, 3},
		{"ahead", -1, 0}, {"ahead", 0, 1}, {"ahead", 1, 3}, {"ahead", 2, 4}, {"ahead", 600, 4},
		{"none", 99, 0},
	} {
		at := noon.Add(time.Duration(tc.minute) * time.Minute)
		if got, err := eventstore.VersionAt(t.Context(), pool, tc.stream, at); got != tc.want || err != nil {
			t.Errorf("%s at minute %d: version %d, %v; want %d", tc.stream, tc.minute, got, err, tc.want)
		}
		recs, err := eventstore.LoadAt(t.Context(), pool, tc.stream, at)
		if int64(len(recs)) != tc.want || err != nil {
			t.Errorf("%s at minute %d: %d events, %v; want %d", tc.stream, tc.minute, len(recs), err, tc.want)
		}
		for i, r := range recs {
			if r.Version != int64(i+1) {
				t.Errorf("%s at minute %d: version %d at position %d", tc.stream, tc.minute, r.Version, i)
			}
		}
	}
	for stream, minute := range map[string]int{"steady": 0, "back": -60, "ahead": 0} {
		if at, ok, err := eventstore.Began(t.Context(), pool, stream); !ok || err != nil || !at.Equal(noon.Add(time.Duration(minute)*time.Minute)) {
			t.Errorf("%s began at %v, %v, %v", stream, at, ok, err)
		}
	}
	if at, ok, err := eventstore.Began(t.Context(), pool, "none"); ok || err != nil {
		t.Errorf("a stream that does not exist began at %v, %v", at, err)
	}
}

// TestTheServicesRoleAppendsAndReadsOnly: the role that a service runs as cannot change history, by
// its privileges and not only by the trigger. It can do all that the package does.
func TestTheServicesRoleAppendsAndReadsOnly(t *testing.T) {
	t.Parallel()
	s := pgtest.NewSeparate(t, eventstore.Component())
	s.Migrate(t)
	app := s.App(t)
	mustAppend(t, app, "parcel-1", 0, "A", "B")
	snapshot := eventstore.Snapshot{StreamID: "parcel-1", Version: 2, Format: 1, State: json.RawMessage(`{}`)}
	if err := eventstore.SaveSnapshots(t.Context(), app, snapshot); err != nil {
		t.Error(err)
	}
	err := postgres.InTx(t.Context(), app, func(tx pgx.Tx) error { return eventstore.Lock(t.Context(), tx, "parcel-1") })
	if err != nil {
		t.Error(err)
	}
	if tails, err := eventstore.LoadTails(t.Context(), app, 1, eventstore.Latest, "parcel-1"); err != nil || tails["parcel-1"].Snapshot == nil {
		t.Errorf("%+v, %v", tails, err)
	}
	for _, sql := range []string{
		"UPDATE events SET event_type = 'B'", "UPDATE events SET recorded_at = now() WHERE version = 1",
		"DELETE FROM events", "TRUNCATE events CASCADE",
		"ALTER TABLE events DISABLE TRIGGER events_are_facts", "DROP TRIGGER events_are_facts ON events",
	} {
		if _, err := app.Exec(t.Context(), sql); postgres.State(err) != "42501" {
			t.Errorf("%s as the service: %v", sql, err)
		}
	}
	if got := brief(eventstore.Load(t.Context(), app, "parcel-1", 0)); got != "1 A, 2 B" {
		t.Errorf("the stream became %q", got)
	}
}
