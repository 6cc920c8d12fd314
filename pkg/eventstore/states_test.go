package eventstore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
)

// path is an aggregate whose state is the names of its events.
type path struct {
	Version int64  `json:"version"`
	Names   string `json:"names"`
}

// paths is the states of paths, with what a test looks at.
type paths struct {
	*eventstore.States[path]
	t       *testing.T
	pool    *pgxpool.Pool
	metrics *prometheus.Registry
	log     *bytes.Buffer
	folded  *int // events
}

func newPaths(t *testing.T, pool *pgxpool.Pool, format int, every int64) paths {
	p := paths{t: t, pool: pool, metrics: prometheus.NewRegistry(), log: &bytes.Buffer{}, folded: new(int)}
	p.States = eventstore.NewStates(eventstore.StatesConfig[path]{
		Apply: func(at path, r eventstore.Record) (path, error) {
			*p.folded++
			if r.Type == "Unknown" {
				return at, errors.New("unknown type")
			}
			return path{r.Version, at.Names + r.Type}, nil
		},
		Format: format, Every: every, Pool: pool, Registerer: p.metrics, Log: slog.New(slog.NewTextHandler(p.log, nil)),
		Encode: func(at path) (json.RawMessage, error) { return json.Marshal(at) },
		Decode: func(s eventstore.Snapshot) (at path, err error) {
			if err = json.Unmarshal(s.State, &at); err == nil && at.Version != s.Version {
				err = fmt.Errorf("state of version %d", at.Version)
			}
			return at, err
		},
	})
	return p
}

// expect loads the stream and checks the state and the number of events that were folded.
func (p paths) expect(what, names string, folded int) {
	p.t.Helper()
	*p.folded = 0
	got, err := p.Load(p.t.Context(), p.pool, "s")
	if err != nil || got["s"].Err != nil || got["s"].State.Names != names || got["s"].Version != int64(len(names)) || *p.folded != folded {
		p.t.Errorf("%s: %+v, %v, %d events folded; want %s, %d", what, got["s"], err, *p.folded, names, folded)
	}
}

func (p paths) flush() {
	p.t.Helper()
	if err := p.Flush(p.t.Context()); err != nil {
		p.t.Error(err)
	}
}

// rows returns format and version of the stream's snapshots.
func (p paths) rows() string {
	p.t.Helper()
	var all string
	err := p.pool.QueryRow(p.t.Context(), `SELECT coalesce(string_agg(format || '/' || version, ' ' ORDER BY format, version), '')
		FROM stream_snapshots WHERE stream_id = 's'`).Scan(&all)
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

func (p paths) exec(sql string) {
	p.t.Helper()
	if tag, err := p.pool.Exec(p.t.Context(), sql); err != nil || tag.RowsAffected() == 0 && tag.String() != "ANALYZE" {
		p.t.Fatalf("%s: %v, %v", sql, tag, err)
	}
}

// count returns how many snapshots could not be used for the reason.
func (p paths) count(reason string) float64 {
	p.t.Helper()
	return p.counter("eventstore_snapshots_unusable_total", reason)
}

func (p paths) counter(name, reason string) float64 {
	p.t.Helper()
	all, err := p.metrics.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, family := range all {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && (reason == "" || m.GetLabel()[0].GetValue() == reason) {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func letters(n int) (types []string) {
	for i := range n {
		types = append(types, string(rune('a'+i%26)))
	}
	return types
}

func TestStates(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	mustAppend(t, pool, "s", 0, letters(7)...)
	p := newPaths(t, pool, 1, 3)
	p.expect("first", "abcdefg", 7)
	p.expect("not written yet", "abcdefg", 7)
	p.flush()
	if got := p.rows(); got != "1/3 1/6" {
		t.Errorf("snapshots %s", got)
	}
	p.expect("from the snapshot", "abcdefg", 1)
	p.flush()
	mustAppend(t, pool, "s", 7, letters(5)...)
	p.expect("a longer tail", "abcdefgabcde", 6)
	p.flush()
	if got := p.rows(); got != "1/3 1/6 1/9 1/12" {
		t.Errorf("snapshots %s", got)
	}
	for version, want := range map[int64]struct {
		names  string
		folded int
	}{1: {"a", 1}, 3: {"abc", 0}, 5: {"abcde", 2}, 11: {"abcdefgabcd", 2}, 12: {"abcdefgabcde", 0}, 99: {"abcdefgabcde", 0}} {
		*p.folded = 0
		got, err := p.LoadVersion(t.Context(), pool, "s", version)
		if err != nil || got.State.Names != want.names || *p.folded != want.folded || got.Version != int64(len(want.names)) {
			t.Errorf("version %d: %+v, %v, %d events folded; want %+v", version, got, err, *p.folded, want)
		}
	}
	if got, err := p.Load(t.Context(), pool, "none", "s", "s"); err != nil || len(got) != 1 || got["s"].Version != 12 {
		t.Errorf("a stream twice, and one that does not exist: %+v, %v", got, err)
	}
	if got, err := p.LoadVersion(t.Context(), pool, "none", 3); err != nil || got.Version != 0 {
		t.Errorf("no stream: %+v, %v", got, err)
	}
	mustAppend(t, pool, "s", 12, "Unknown", "z")
	got, err := p.Load(t.Context(), pool, "s")
	if err != nil || got["s"].Err == nil || got["s"].Version != 12 || !strings.Contains(got["s"].Err.Error(), "fold stream s") {
		t.Errorf("an event that cannot be read: %+v, %v", got["s"], err)
	}
}

// TestSnapshotsAreNotTrusted: whatever is wrong with a snapshot, the state is that of the events, the
// snapshot is written again, and the next load uses it. Each case is counted, and logged once.
func TestSnapshotsAreNotTrusted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		damage string
		reason string
		rows   string // afterwards
	}{
		"changed state": {`UPDATE stream_snapshots SET state = '{"version":6,"names":"wrong!"}' WHERE version = 6`, "corrupt", "2/3 2/6"},
		"changed space": {`UPDATE stream_snapshots SET state = (state::text || ' ')::json WHERE version = 6`, "corrupt", "2/3 2/6"},
		"changed sum":   {`UPDATE stream_snapshots SET checksum = '' WHERE version = 6`, "corrupt", "2/3 2/6"},
		"other version": {`UPDATE stream_snapshots SET version = 7 WHERE version = 6 AND stream_id = 's'`, "corrupt", "2/3 2/6 2/7"},
		"other stream": {`UPDATE stream_snapshots s SET state = o.state, checksum = o.checksum FROM stream_snapshots o
			WHERE s.stream_id = 's' AND s.version = 6 AND o.stream_id = 'other' AND o.version = 6`, "corrupt", "2/3 2/6"},
		"older format": {`UPDATE stream_snapshots SET format = 1`, "older_format", "1/3 1/6 2/3 2/6"},
		"newer format": {`UPDATE stream_snapshots SET format = 3`, "newer_format", "2/3 2/6 3/3 3/6"},
		"unreadable":   {`UPDATE stream_snapshots SET state = '{"version":5}' WHERE version = 6`, "unreadable", "2/3 2/6"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.NewDB(t, eventstore.Component())
			mustAppend(t, pool, "s", 0, letters(7)...)
			mustAppend(t, pool, "other", 0, "A", "B", "C", "D", "E", "F")
			p := newPaths(t, pool, 2, 3)
			if _, err := p.Load(t.Context(), pool, "s", "other"); err != nil {
				t.Fatal(err)
			}
			p.flush()
			p.exec(tc.damage)
			if name == "unreadable" { // the checksum is right, as of a program with a fault
				bad := eventstore.Snapshot{StreamID: "s", Version: 6, Format: 2, State: json.RawMessage(`{"version":5}`)}
				if _, err := pool.Exec(t.Context(), `UPDATE stream_snapshots SET checksum = $1 WHERE stream_id = 's' AND version = 6`, bad.Checksum()); err != nil {
					t.Fatal(err)
				}
			}
			p.expect("damaged", "abcdefg", 7)
			p.expect("damaged", "abcdefg", 7)
			if got := p.count(tc.reason); got != 2 {
				t.Errorf("counted %v times as %s", got, tc.reason)
			}
			if n := strings.Count(p.log.String(), "snapshot cannot be used"); n != 1 || !strings.Contains(p.log.String(), "reason="+tc.reason) {
				t.Errorf("logged %d times: %s", n, p.log)
			}
			p.flush()
			if got := p.rows(); got != tc.rows {
				t.Errorf("snapshots %s, want %s", got, tc.rows)
			}
			p.expect("written again", "abcdefg", map[bool]int{false: 1, true: 0}[name == "other version"])
			if got := p.count(tc.reason); got != 2 {
				t.Errorf("counted again: %v", got)
			}
		})
	}
}

// TestACorruptSnapshotOfThePastIsWrittenAgain although nothing else is noted by a query of the past.
func TestACorruptSnapshotOfThePastIsWrittenAgain(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	mustAppend(t, pool, "s", 0, letters(9)...)
	p := newPaths(t, pool, 1, 3)
	p.expect("first", "abcdefghi", 9)
	p.flush()
	p.exec(`UPDATE stream_snapshots SET state = '{"version":6,"names":"wrong!"}' WHERE version = 6`)
	p.exec(`DELETE FROM stream_snapshots WHERE version = 3`)
	for _, folded := range []int{7, 1} {
		*p.folded = 0
		got, err := p.LoadVersion(t.Context(), pool, "s", 7)
		if err != nil || got.State.Names != "abcdefg" || *p.folded != folded {
			t.Errorf("%+v, %v, %d events folded, want %d", got, err, *p.folded, folded)
		}
		p.flush()
	}
	if got := p.rows(); got != "1/6 1/9" {
		t.Errorf("snapshots %s", got)
	}
}

// TestTwoFormatsAtOnce: during a roll each of two releases finds its own snapshots, and neither is
// slowed down by the other's.
func TestTwoFormatsAtOnce(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	mustAppend(t, pool, "s", 0, letters(4)...)
	before, after := newPaths(t, pool, 1, 3), newPaths(t, pool, 2, 3)
	before.expect("before", "abcd", 4)
	before.flush()
	after.expect("after", "abcd", 4)
	after.flush()
	for range 2 {
		before.expect("before", "abcd", 1)
		after.expect("after", "abcd", 1)
	}
	if b, a := before.count("newer_format"), after.count("older_format"); b != 0 || a != 1 {
		t.Errorf("counted %v and %v times", b, a)
	}
	// The earlier format goes a month later, when the stream gets its next snapshot.
	before.exec(`UPDATE stream_snapshots SET taken_at = taken_at - interval '31 days' WHERE format = 1`)
	mustAppend(t, pool, "s", 4, letters(3)...)
	after.expect("later", "abcdabc", 4)
	after.flush()
	if got := after.rows(); got != "2/3 2/6" {
		t.Errorf("snapshots %s", got)
	}
}

// TestTheReleaseBefore has one row per stream, in a table of its own, which it still writes. The row
// is not used.
func TestTheReleaseBefore(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	mustAppend(t, pool, "s", 0, letters(4)...)
	p := newPaths(t, pool, 1, 3)
	for version := 2; version <= 3; version++ {
		p.exec(fmt.Sprintf(`INSERT INTO snapshots (stream_id, version, state) VALUES ('s', %d, '{"names": "wrong"}') ON CONFLICT (stream_id) DO UPDATE
			SET version = excluded.version, state = excluded.state, taken_at = excluded.taken_at WHERE snapshots.version < excluded.version`, version))
	}
	p.expect("first", "abcd", 4)
	p.flush()
	p.expect("then", "abcd", 1)
}

// TestSnapshotsAreOnlyACache: a snapshot that cannot be written fails nothing and is written later.
// Run writes what is noted.
func TestSnapshotsAreOnlyACache(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	mustAppend(t, pool, "s", 0, letters(4)...)
	p := newPaths(t, pool, 1, 3)
	p.Note("none", 3, path{})
	p.expect("loads", "abcd", 4)
	if err := p.Flush(t.Context()); err == nil {
		t.Error("a snapshot of no stream is stored")
	}
	if got := p.counter("eventstore_snapshots_skipped_total", ""); got != 2 || p.rows() != "" {
		t.Errorf("%v skipped, snapshots %q", got, p.rows())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	p.expect("loads", "abcd", 4)
	kafkatest.Eventually(t, "the snapshot", func() bool { return p.rows() == "1/3" })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSaveSnapshots(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	mustAppend(t, pool, "parcel-1", 0, "A", "B", "C")
	of := func(version int64, format int, state string) eventstore.Snapshot {
		return eventstore.Snapshot{StreamID: "parcel-1", Version: version, Format: format, State: json.RawMessage(state)}
	}
	if _, ok, err := eventstore.LoadSnapshot(t.Context(), pool, "parcel-1", 1); ok || err != nil {
		t.Errorf("before the first: %v, %v", ok, err)
	}
	if err := eventstore.SaveSnapshots(t.Context(), pool, of(2, 1, `{"b":1,  "a":2}`), of(3, 2, `{}`), of(1, 1, `{}`)); err != nil {
		t.Fatal(err)
	}
	got, ok, err := eventstore.LoadSnapshot(t.Context(), pool, "parcel-1", 1)
	if diff := cmp.Diff(of(2, 1, `{"b":1,  "a":2}`), got); diff != "" || !ok || err != nil {
		t.Errorf("loaded %v, %v (-want +got):\n%s", ok, err, diff)
	}
	if _, err := pool.Exec(t.Context(), `UPDATE stream_snapshots SET state = '{}'`); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := eventstore.LoadSnapshot(t.Context(), pool, "parcel-1", 1); ok || err != nil {
		t.Errorf("corrupt: %v, %v", ok, err)
	}
	for name, s := range map[string]eventstore.Snapshot{"a version the stream does not have": of(4, 1, `{}`), "no JSON": of(3, 1, `{`), "no format": of(3, 0, `{}`)} {
		if err := eventstore.SaveSnapshots(t.Context(), pool, s); err == nil {
			t.Errorf("%s is stored", name)
		}
	}
}

// TestOnlyTheTailIsRead: the rows that a load reads are the snapshot and the events after it, however
// long the stream is and however often the statement has run.
func TestOnlyTheTailIsRead(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, eventstore.Component())
	mustAppend(t, pool, "s", 0, letters(2_005)...)
	mustAppend(t, pool, "other", 0, letters(1_005)...)
	p := newPaths(t, pool, 1, 100)
	if _, err := p.Load(t.Context(), pool, "s", "other"); err != nil {
		t.Fatal(err)
	}
	p.flush()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	counter := func(tx pgx.Tx) (rows int, err error) {
		return rows, tx.QueryRow(t.Context(), `SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::int FROM pg_stat_xact_user_tables`).Scan(&rows)
	}
	read := func() (rows int) {
		t.Helper()
		err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			before, err := counter(tx)
			if err != nil {
				return err
			}
			got, err := p.Load(t.Context(), tx, "s", "other")
			if err != nil || got["s"].Version != 2_005 || got["other"].Version != 1_005 {
				t.Errorf("versions %d and %d, %v", got["s"].Version, got["other"].Version, err)
			}
			past, err := p.LoadVersion(t.Context(), tx, "s", 1_903)
			if err != nil || past.Version != 1_903 {
				t.Errorf("version %d, %v", past.Version, err)
			}
			after, err := counter(tx)
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
			p.exec(`ANALYZE`)
		}
		if rows := read(); rows < 13 || rows > 150 { // 5 + 5 + 3 events, and up to some twenty snapshots of each stream
			t.Errorf("%d rows read in round %d", rows, round)
		}
	}
}
