// Package outboxtest creates an outbox table for a test, with rows that can be compared with the
// topic. Each key has versions 1, 2, 3 and so on, and the versions of a key must arrive in their
// order.
//
// The events are of a sample type and their payloads are plain text, so no schema registry is
// needed. All functions end the test on an error.
package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// Topic returns the topic of the sample events. It has few partitions, so that keys share them.
func Topic() event.Topic { return event.Topic{Name: "sample.events", Partitions: 3} }

// Happened is the sample event. Text is its payload.
type Happened struct{ Key, Text string }

// EventType implements [event.Event].
func (Happened) EventType() string { return "Happened" }

// AvroSchema implements [event.Event]. The payload is plain text.
func (Happened) AvroSchema() string { return `"string"` }

// AggregateKey implements [event.Event].
func (h Happened) AggregateKey() string { return h.Key }

// Outbox returns an outbox that can append the sample event.
func Outbox() *outbox.Outbox {
	family := event.Family{Topic: Topic().Name, AggregateType: "Sample", Namespace: "sample.v1"}
	return outbox.New(outbox.Config{
		Source: "/test", Types: event.NewCatalogue(event.Describe[Happened](family)),
		Encode: func(_ context.Context, e event.Event) ([]byte, error) {
			h, ok := e.(Happened)
			if !ok {
				return nil, errors.New("not the sample event")
			}
			return []byte(h.Text), nil
		},
	})
}

// Table is an outbox table in a database of the test's own.
type Table struct {
	Pool *pgxpool.Pool // of the service's role
	URL  string        // of the service's role
	Out  *outbox.Outbox
	DB   *pgtest.Separate // the roles; nil with [NewLogical]

	next map[string]int64 // version of each key's last row
}

// New returns an empty table.
func New(t testing.TB) *Table {
	t.Helper()
	db := pgtest.NewSeparate(t, outbox.Component())
	db.Migrate(t)
	return &Table{Pool: Open(t, db.AppURL), DB: db, URL: db.AppURL, Out: Outbox(), next: map[string]int64{}}
}

// At returns the table of a database that the test migrates itself. One role has all rights.
func At(t testing.TB, url string) *Table {
	t.Helper()
	return &Table{Pool: Open(t, url), URL: url, Out: Outbox(), next: map[string]int64{}}
}

// Open returns a pool that is closed at the end of the test.
func Open(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(context.Background(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Owner returns a pool of the migrating role, for what the service's role may not do.
func (f *Table) Owner(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return Open(t, f.DB.MigratorURL)
}

// Begin returns a transaction that is rolled back at the end of the test.
func (f *Table) Begin(t testing.TB) pgx.Tx {
	t.Helper()
	tx, err := f.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
}

// Commit commits tx.
func Commit(t testing.TB, tx pgx.Tx) {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Exec executes a statement as the service's role.
func (f *Table) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := f.Pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Insert appends the next version of each key, in this order. The payload is "key/version".
func (f *Table) Insert(t testing.TB, tx pgx.Tx, keys ...string) {
	t.Helper()
	entries := make([]outbox.Entry, len(keys))
	for i, key := range keys {
		f.next[key]++
		entries[i] = outbox.Entry{
			Event: Happened{key, fmt.Sprintf("%s/%d", key, f.next[key])}, Version: f.next[key],
			Cause: outbox.Cause{CorrelationID: "c-" + key},
		}
	}
	if err := f.Out.Append(t.Context(), tx, entries...); err != nil {
		t.Fatal(err)
	}
}

// Append is [Table.Insert] in a transaction of its own.
func (f *Table) Append(t testing.TB, keys ...string) {
	t.Helper()
	tx := f.Begin(t)
	f.Insert(t, tx, keys...)
	Commit(t, tx)
}

// Forget removes a key from what [Table.Verify] expects, because its rows were rolled back.
func (f *Table) Forget(key string) { delete(f.next, key) }

// Raws appends raw records of so many bytes, one per key. They have no version.
func (f *Table) Raws(t testing.TB, tx pgx.Tx, size int, keys ...string) {
	t.Helper()
	for i, key := range keys {
		raw := outbox.Raw{ID: uuid.Must(uuid.NewV7()), Topic: Topic().Name, Key: []byte(key), Payload: make([]byte, size)}
		copy(raw.Payload, fmt.Sprintf("%s/%d/", key, i))
		if err := f.Out.AppendRaw(t.Context(), tx, raw); err != nil {
			t.Fatal(err)
		}
	}
}

// Publish removes the entries of all rows from the queue, as if a relay had published them. condition
// restricts it to some rows, in SQL; "" for all.
func (f *Table) Publish(t testing.TB, condition string) {
	t.Helper()
	if condition == "" {
		condition = "true"
	}
	f.Exec(t, `DELETE FROM outbox_queue WHERE seq IN (SELECT seq FROM outbox WHERE `+condition+`)`)
}

// Again gives the entries of some rows, by a condition in SQL, the number of a later publication.
func (f *Table) Again(t testing.TB, condition string) {
	t.Helper()
	f.Publish(t, condition)
	f.Exec(t, `UPDATE outbox_mode SET requeues = requeues + 1`)
	f.Exec(t, `INSERT INTO outbox_queue (seq, publication, id, shard, raw, captured)
		SELECT seq, (SELECT requeues FROM outbox_mode), id, shard, ce_specversion IS NULL, false FROM outbox WHERE `+condition)
}

// Unpublished returns how many rows are not published.
func (f *Table) Unpublished(t testing.TB) (n int64) {
	t.Helper()
	if err := f.Pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox_queue`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Holders returns how many shards each relay leads at this moment, by the relay's id.
func (f *Table) Holders(t testing.TB) map[uuid.UUID]int {
	t.Helper()
	rows, err := f.Pool.Query(context.Background(),
		`SELECT holder, count(*) FROM outbox_lease WHERE expires_at > clock_timestamp() GROUP BY holder`)
	if err != nil {
		t.Fatal(err)
	}
	out := map[uuid.UUID]int{}
	var id uuid.UUID
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error { out[id] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// Keys returns n names, cycling through distinct ones.
func Keys(n, distinct int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "k" + strconv.Itoa(i%distinct)
	}
	return out
}

// Versions returns the versions of each key in the order of the records, -1 for a record
// without one.
func Versions(records []*kgo.Record) map[string][]int64 {
	out := map[string][]int64{}
	for _, r := range records {
		v := int64(-1)
		for _, h := range r.Headers {
			if h.Key == event.HeaderAggregateVersion {
				v, _ = strconv.ParseInt(string(h.Value), 10, 64)
			}
		}
		out[string(r.Key)] = append(out[string(r.Key)], v)
	}
	return out
}

// Verify checks that the topic has every inserted event, and that the first occurrences of each
// key's events are in their order. It returns the number of repeated records.
func (f *Table) Verify(t testing.TB, brokers []string) (repeated int) {
	t.Helper()
	got := Versions(kafkatest.ReadAll(t, brokers, Topic().Name))
	for key, last := range f.next {
		var seen int64
		for _, v := range got[key] {
			switch {
			case v == seen+1:
				seen = v
			case v <= seen:
				repeated++
			default:
				t.Errorf("key %s: version %d arrived before %d; all: %v", key, v, seen+1, got[key])
				seen = v
			}
		}
		if seen != last {
			t.Errorf("key %s: got versions up to %d, want %d; all: %v", key, seen, last, got[key])
		}
	}
	return repeated
}
