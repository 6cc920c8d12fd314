package retry

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// given reports which of the records are known as given up.
func (f *fixture) given(t testing.TB, records ...Record) (got []bool) {
	t.Helper()
	places, err := f.GivenUp(t.Context(), f.pool, records)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		got = append(got, places[r.Place()])
	}
	return got
}

// TestGivenUpForEver: a record counts as given up from that moment until long after its dead letter
// was pruned, whatever was decided.
func TestGivenUpForEver(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	open, discarded, resolved, poison := f.letter("open"), f.letter("discarded"), f.letter("resolved"), f.poison("rubbish")
	all := []Record{open.Record, discarded.Record, resolved.Record, poison.Record}
	if diff := cmp.Diff([]bool{false, false, false, false}, f.given(t, all...)); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	ids := map[string]uuid.UUID{}
	for name, l := range map[string]Letter{"open": open, "discarded": discarded, "resolved": resolved, "rubbish": poison} {
		ids[name] = f.bury(t, l)
	}
	for _, name := range []string{"discarded", "rubbish"} {
		if _, err := f.Discard(t.Context(), f.pool, ids[name], "ada", "not needed", false); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Resubmit(t.Context(), f.pool, ids["resolved"], "ada", "", false); err != nil {
		t.Fatal(err)
	}
	f.tx(t, func(tx pgx.Tx) error { return f.Resolve(t.Context(), tx, ids["resolved"], "handled") })
	if err := f.Maintain(t.Context(), f.pool, time.Now().Add(keepClosed+time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(t.Context(), f.pool, ids["discarded"]); errs.KindOf(err) != errs.NotFound {
		t.Fatalf("the dead letter is not pruned: %v", err)
	}
	if diff := cmp.Diff([]bool{true, true, true, true}, f.given(t, all...)); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
	want := map[string]string{"open": "", "discarded": "discarded", "resolved": "resolved", "rubbish": "discarded -"}
	if diff := cmp.Diff(want, f.decisions(t, ids)); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
}

func (f *fixture) decisions(t testing.TB, ids map[string]uuid.UUID) map[string]string {
	t.Helper()
	got := map[string]string{}
	for name, id := range ids {
		var decision string
		if err := f.pool.QueryRow(t.Context(), `SELECT decision || CASE WHEN key IS NULL THEN ' -' ELSE '' END FROM given_up WHERE dead_letter = $1`, id).Scan(&decision); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got[name] = decision
	}
	return got
}

// TestGivenUpIsThatRecordOnly: another offset, partition, topic or group is another record. So is
// another time in the same place: the topic was lost and created again.
func TestGivenUpIsThatRecordOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	l := f.letter("o-1")
	first := f.bury(t, l)
	var others []Record
	for _, change := range []func(*Record){
		func(r *Record) { r.Offset++ }, func(r *Record) { r.Partition++ }, func(r *Record) { r.Topic = "door.events" },
		func(r *Record) { r.Time = r.Time.Add(time.Millisecond) },
	} {
		r := l.Record
		change(&r)
		others = append(others, r)
	}
	for _, r := range append(others, l.Record) {
		if got, want := f.given(t, r)[0], r.Place() == l.Place() && r.Time.Equal(l.Time); got != want {
			t.Errorf("%+v is given up: %t, want %t", r.Place(), got, want)
		}
	}
	other := fixture{Store: New("notices", f.out), pool: f.pool}
	if other.given(t, l.Record)[0] {
		t.Error("another group has given it up")
	}
	// A dry run decides nothing.
	if _, err := f.Discard(t.Context(), f.pool, first, "ada", "not needed", true); err != nil {
		t.Fatal(err)
	}
	if got := f.decisions(t, map[string]uuid.UUID{"": first})[""]; got != "" {
		t.Errorf("a rehearsal made it %q", got)
	}
	// The new record replaces the old one in its place.
	anew := f.letter("o-2")
	anew.Record.Offset, anew.Record.Time = l.Offset, l.Time.Add(time.Hour)
	f.bury(t, anew)
	if got := f.given(t, l.Record)[0]; got {
		t.Error("the record of the lost topic is still known")
	}
	if got := f.given(t, anew.Record)[0]; !got {
		t.Error("the record of the new topic is not known")
	}
	// A later decision about the old record does not apply to the new one.
	if _, err := f.Discard(t.Context(), f.pool, first, "ada", "not needed", false); err != nil {
		t.Fatal(err)
	}
	var decision string
	if err := f.pool.QueryRow(t.Context(), `SELECT decision FROM given_up`).Scan(&decision); err != nil || decision != "" {
		t.Errorf("the new record is %q (%v)", decision, err)
	}
}

// TestUpgradeKnowsWhatWasGivenUp starts from the tables of a release that did not store it.
func TestUpgradeKnowsWhatWasGivenUp(t *testing.T) {
	t.Parallel()
	before := fstest.MapFS{}
	for _, name := range []string{"00001_retry.sql", "00002_bounded_keys.sql"} {
		data, err := os.ReadFile("migrations/" + name)
		if err != nil {
			t.Fatal(err)
		}
		before[name] = &fstest.MapFile{Data: data}
	}
	url := pgtest.NewURL(t, outbox.Component(), postgres.Component{Name: "retry", FS: before})
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	f := &fixture{Store: New("doors", outbox.New(outbox.Config{Source: "/test"})), pool: pool}
	ids, all := map[string]uuid.UUID{}, []Record{}
	for _, status := range []string{"open", "resubmitted", "resolved", "discarded"} {
		l := f.letter(status + strings.Repeat("x", 600))
		ids[status] = uuid.Must(uuid.NewV7())
		all = append(all, l.Record)
		f.exec(t, `INSERT INTO dead_letters (id, consumer_group, topic, record_key, record_partition, record_offset, record_time, payload, headers,
				inbox_id, event_type, error_class, error_message, error_stack, attempts, first_failure, last_failure, parks, status)
			VALUES ($1, 'doors', $2, $3, $4, $5, $6, 'x', '[]', $7, 'ParcelAccepted', 'invalid', '', '', 1, now(), now(), $8 <> 'open', $8)`,
			ids[status], l.Topic, l.Key, l.Partition, l.Offset, l.Time, l.InboxID, status)
	}
	twice := uuid.Must(uuid.NewV7()) // the record was read again after the inbox had forgotten it
	f.exec(t, `INSERT INTO dead_letters SELECT (jsonb_populate_record(d, jsonb_build_object('id', $1::text))).* FROM dead_letters d WHERE status = 'discarded'`, twice)
	if err := postgres.Migrate(t.Context(), url, Component()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]bool{true, true, true, true}, f.given(t, all...)); diff != "" {
		t.Errorf("given up (-want +got):\n%s", diff)
	}
	ids["discarded"] = twice // the latest dead letter of the place
	want := map[string]string{"open": " -", "resubmitted": "", "resolved": "resolved", "discarded": "discarded"}
	if diff := cmp.Diff(want, f.decisions(t, ids)); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
	var key []byte
	if err := pool.QueryRow(t.Context(), `SELECT key FROM given_up WHERE dead_letter = $1`, ids["resolved"]).Scan(&key); err != nil {
		t.Fatal(err)
	}
	if got := KeyOf(testTopic, all[2].Key).Key; string(key) != got {
		t.Errorf("the long key is %q, want %q", key, got)
	}
}

func (f *fixture) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := f.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}
