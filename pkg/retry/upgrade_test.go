package retry

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// TestUpgradeHashesLongKeys starts from the tables of the release that parked keys as they
// came, with a key of 1,000 bytes in retry and a record behind it. Both are found again, and a
// key as long as an index takes stays what it was.
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
	keys := []string{strings.Repeat("k", 1000), strings.Repeat("k", maxLaneKey), "o-1", ""}
	heads := map[string]uuid.UUID{}
	for _, key := range keys {
		heads[key] = uuid.Must(uuid.NewV7())
		for _, insert := range []string{
			`INSERT INTO parked_keys (consumer_group, topic, key, head, state, event_type, attempts, not_before, last_error)
				VALUES ('payment', $1, $2, $3, 'retrying', 'OrderCreated', 1, now(), '')`,
			`INSERT INTO parked_records (consumer_group, topic, key, record_key, inbox_id, event_type, record_partition, record_offset, record_time, headers)
				VALUES ('payment', $1, $2, $2, $3, 'OrderCreated', 0, 1, now(), '[]')`,
		} {
			if _, err := pool.Exec(t.Context(), insert, testTopic, []byte(key), heads[key]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := postgres.Migrate(t.Context(), url, Component()); err != nil {
		t.Fatal(err)
	}
	s := New("payment", outbox.New(nil, "/test"))
	err = postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		for _, key := range keys {
			h := Head{ID: heads[key], Record: Record{Topic: testTopic, Key: []byte(key), Time: time.Now()}}
			current, err := s.Take(t.Context(), tx, h)
			if err != nil || !current {
				t.Errorf("the head of the key of %d bytes is not found: %v", len(key), err)
			}
			behind, err := s.Followers(t.Context(), tx, h.Lane(), 10)
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

// KeyOf is what SQL says of it, and no index row is too large for it.
func TestKeyOf(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, n := range []int{0, 1, maxLaneKey, maxLaneKey + 1, 100_000} {
		key := []byte(strings.Repeat("k", n))
		var fromSQL []byte
		if err := f.pool.QueryRow(t.Context(), `SELECT `+laneOf+` FROM (SELECT $1::bytea AS key) AS record`, key).Scan(&fromSQL); err != nil {
			t.Fatal(err)
		}
		got := KeyOf(testTopic, key)
		if got.Key != string(fromSQL) || len(got.Key) > maxLaneKey || got.Topic != testTopic {
			t.Errorf("of %d bytes: %d bytes, in SQL %d", n, len(got.Key), len(fromSQL))
		}
	}
	long := Record{Topic: "t", Partition: 3, Offset: 7, Key: []byte(strings.Repeat("k", 600)), Value: []byte("v"), Headers: []events.Header{{Key: "h"}}}
	if bare := long.Bare(); len(bare.Key) > maxLaneKey || bare.Lane() != long.Lane() || bare.Place() != long.Place() || bare.Value != nil || bare.Headers != nil {
		t.Errorf("without its bytes a record is %+v", bare)
	}
	if KeyOf("t", nil) != KeyOf("t", []byte{}) {
		t.Error("a missing key is not an empty one")
	}
	if KeyOf("t", []byte(strings.Repeat("k", 600))) == KeyOf("t", []byte(strings.Repeat("k", 601))) {
		t.Error("two long keys are one")
	}
}
