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

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// TestUpgradeHashesLongKeys starts from the tables of the release that parked unhashed keys, with a
// key of 1,000 bytes in retry and a record behind it. Both are found again. A key of the greatest
// length that an index takes unhashed stays unchanged.
func TestUpgradeHashesLongKeys(t *testing.T) {
	t.Parallel()
	first, err := os.ReadFile("migrations/00001_retry.sql")
	if err != nil {
		t.Fatal(err)
	}
	url := pgtest.NewURL(t, outbox.Component(), postgres.Component{
		Name: "retry", FS: fstest.MapFS{"00001_retry.sql": {Data: first}},
	})
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	keys := []string{strings.Repeat("k", 1000), strings.Repeat("k", maxParkedKey), "o-1", ""}
	heads := map[string]uuid.UUID{}
	for _, key := range keys {
		heads[key] = uuid.Must(uuid.NewV7())
		for _, insert := range []string{
			`INSERT INTO parked_keys (consumer_group, topic, key, head, state, event_type, attempts, not_before, last_error)
				VALUES ('doors', $1, $2, $3, 'retrying', 'ParcelAccepted', 1, now(), '')`,
			`INSERT INTO parked_records (consumer_group, topic, key, record_key, inbox_id, event_type, record_partition, record_offset, record_time, headers)
				VALUES ('doors', $1, $2, $2, $3, 'ParcelAccepted', 0, 1, now(), '[]')`,
		} {
			if _, err := pool.Exec(t.Context(), insert, testTopic, []byte(key), heads[key]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := postgres.Migrate(t.Context(), url, Component()); err != nil {
		t.Fatal(err)
	}
	s := New("doors", outbox.New(outbox.Config{Source: "/test"}))
	err = postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		for _, key := range keys {
			h := Head{ID: heads[key], Record: Record{Topic: testTopic, Key: []byte(key), Time: time.Now()}}
			current, err := s.Take(t.Context(), tx, h)
			if err != nil || !current {
				t.Errorf("the head of the key of %d bytes is not found: %v", len(key), err)
			}
			behind, err := s.Followers(t.Context(), tx, h.ParkedKey(), 10)
			if err != nil || len(behind) != 1 || string(behind[0].Key) != key {
				t.Errorf("behind the key of %d bytes: %d records, %v", len(key), len(behind), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestProcessesThatDoNotKnowGivenUpAreNotedAllTheSame writes dead letters and decisions as a process
// of the release before does, which knows dead_letters only: some between the migration that made
// given_up and the one that added the triggers, some beside processes of this release.
func TestProcessesThatDoNotKnowGivenUpAreNotedAllTheSame(t *testing.T) {
	t.Parallel()
	between := fstest.MapFS{}
	for _, name := range []string{"00001_retry.sql", "00002_bounded_keys.sql", "00003_given_up.sql", "00004_skips.sql"} {
		data, err := os.ReadFile("migrations/" + name)
		if err != nil {
			t.Fatal(err)
		}
		between[name] = &fstest.MapFile{Data: data}
	}
	url := pgtest.NewURL(t, outbox.Component(), postgres.Component{Name: "retry", FS: between})
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	f := &fixture{Store: New("doors", outbox.New(outbox.Config{Source: "/test"})), pool: pool}
	ids, all := map[string]uuid.UUID{}, []Record{}
	bury := func(names ...string) {
		t.Helper()
		for _, name := range names {
			l := f.letter(name + strings.Repeat("x", 600))
			ids[name] = uuid.Must(uuid.NewV7())
			all = append(all, l.Record)
			f.exec(t, `INSERT INTO dead_letters (id, consumer_group, topic, record_key, record_partition, record_offset, record_time, payload, headers,
					inbox_id, event_type, error_class, error_message, error_stack, attempts, first_failure, last_failure, parks, status)
				VALUES ($1, 'doors', $2, $3, $4, $5, $6, 'x', '[]', $7, 'ParcelAccepted', 'invalid', '', '', 1, now(), now(), true, 'open')`,
				ids[name], l.Topic, l.Key, l.Partition, l.Offset, l.Time, l.InboxID)
		}
	}
	decide := func(name, status string) {
		t.Helper()
		f.exec(t, `UPDATE dead_letters SET status = $2 WHERE id = $1`, ids[name], status)
	}
	bury("open", "resolved", "resolved later")
	decide("resolved", "resubmitted")
	decide("resolved", "resolved")
	if err := postgres.Migrate(t.Context(), url, Component()); err != nil {
		t.Fatal(err)
	}
	bury("new", "new and discarded")
	decide("resolved later", "resubmitted")
	decide("resolved later", "resolved")
	decide("new and discarded", "discarded")

	if diff := cmp.Diff([]bool{true, true, true, true, true}, f.given(t, all...)); diff != "" {
		t.Errorf("given up (-want +got):\n%s", diff)
	}
	want := map[string]string{"open": "", "resolved": "resolved", "resolved later": "resolved", "new": "", "new and discarded": "discarded"}
	if diff := cmp.Diff(want, f.decisions(t, ids)); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
	var key []byte
	if err := pool.QueryRow(t.Context(), `SELECT key FROM given_up WHERE dead_letter = $1`, ids["new"]).Scan(&key); err != nil {
		t.Fatal(err)
	}
	if got := KeyOf(testTopic, all[3].Key).Key; string(key) != got {
		t.Errorf("the long key is %q, want %q", key, got)
	}
}

// KeyOf equals its SQL form, and no index row is too large for its keys.
func TestKeyOf(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, n := range []int{0, 1, maxParkedKey, maxParkedKey + 1, 100_000} {
		key := []byte(strings.Repeat("k", n))
		var fromSQL []byte
		if err := f.pool.QueryRow(t.Context(), `SELECT `+parkedKeyOf+` FROM (SELECT $1::bytea AS key) AS record`, key).Scan(&fromSQL); err != nil {
			t.Fatal(err)
		}
		got := KeyOf(testTopic, key)
		if got.Key != string(fromSQL) || len(got.Key) > maxParkedKey || got.Topic != testTopic {
			t.Errorf("of %d bytes: %d bytes, in SQL %d", n, len(got.Key), len(fromSQL))
		}
	}
	long := Record{Topic: "t", Partition: 3, Offset: 7, Key: []byte(strings.Repeat("k", 600)), Value: []byte("v"), Headers: []event.Header{{Key: "h"}}}
	if bare := long.Bare(); len(bare.Key) > maxParkedKey || bare.ParkedKey() != long.ParkedKey() || bare.Place() != long.Place() || bare.Value != nil || bare.Headers != nil {
		t.Errorf("without its bytes a record is %+v", bare)
	}
	if KeyOf("t", nil) != KeyOf("t", []byte{}) {
		t.Error("a missing key is not an empty one")
	}
	if KeyOf("t", []byte(strings.Repeat("k", 600))) == KeyOf("t", []byte(strings.Repeat("k", 601))) {
		t.Error("two long keys are one")
	}
}
