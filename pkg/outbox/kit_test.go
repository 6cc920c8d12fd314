package outbox

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// testLease is short enough to wait for and long enough for a busy machine.
const testLease = 1500 * time.Millisecond

var testTopic = events.Topic{Name: events.TopicOrderEvents, Partitions: 3}

// fixture is one outbox table with a broker.
type fixture struct {
	pool    *pgxpool.Pool // of the service's role
	db      *pgtest.Separate
	url     string
	brokers []string
	out     *Outbox
	next    map[string]int64 // version of each key's last row
}

func newFixture(t testing.TB, brokers []string) *fixture {
	t.Helper()
	db := pgtest.NewSeparate(t, Component())
	db.Migrate(t)
	url := db.AppURL
	return &fixture{pool: open(t, url), db: db, url: url, brokers: brokers, out: New(nil, "/test"), next: map[string]int64{}}
}

// owner returns a pool for what the service may not do.
func (f *fixture) owner(t testing.TB) *pgxpool.Pool { return open(t, f.db.MigratorURL) }

func open(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(context.Background(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func (f *fixture) begin(t testing.TB) pgx.Tx {
	t.Helper()
	tx, err := f.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	return tx
}

func commit(t testing.TB, tx pgx.Tx) {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// insert appends one event for each key, in this order, with ascending versions.
func (f *fixture) insert(t testing.TB, tx pgx.Tx, keys ...string) {
	t.Helper()
	rows := make([]row, len(keys))
	for i, key := range keys {
		f.next[key]++
		id := uuid.Must(uuid.NewV7())
		rows[i] = row{
			id: id, topic: testTopic.Name, key: []byte(key), payload: fmt.Appendf(nil, "%s/%d", key, f.next[key]),
			aggregateType: "Order",
			envelope: &events.Envelope{
				ID: id, Source: "/test", Type: "OrderCreated", Subject: key, AggregateVersion: f.next[key],
				Time: time.Now(), CorrelationID: "c-" + key, ContentType: events.ContentTypeAvro,
			},
		}
	}
	if err := insert(t.Context(), tx, rows); err != nil {
		t.Fatal(err)
	}
}

// append is insert in a transaction of its own.
func (f *fixture) append(t testing.TB, keys ...string) {
	t.Helper()
	tx := f.begin(t)
	f.insert(t, tx, keys...)
	commit(t, tx)
}

// keys returns n names in which each of distinct ones occurs in turn.
func keys(n, distinct int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "k" + strconv.Itoa(i%distinct)
	}
	return out
}

// relay is a running one.
type relay struct {
	*Relay
	cancel context.CancelFunc
	done   chan error
}

// start runs a relay until the end of the test or stop. Before it runs it is changed.
func (f *fixture) start(t testing.TB, cfg RelayConfig, changes ...func(*Relay)) *relay {
	t.Helper()
	if cfg.Brokers == nil {
		cfg.Brokers = f.brokers
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &relay{Relay: NewRelay(f.pool, f.out, cfg), cancel: cancel, done: make(chan error, 1)}
	for _, change := range changes {
		change(r.Relay)
	}
	go func() { r.done <- r.Run(ctx) }()
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop ends the relay gracefully, once.
func (r *relay) stop(t testing.TB) {
	t.Helper()
	r.cancel()
	if err, ok := <-r.done; ok {
		close(r.done)
		if err != nil {
			t.Errorf("relay ended with: %v", err)
		}
	}
}

func (f *fixture) stats(t testing.TB) Description {
	t.Helper()
	s, err := f.out.Describe(context.Background(), f.pool)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (f *fixture) awaitPublished(t testing.TB) {
	t.Helper()
	kafkatest.Eventually(t, "all rows to be published", func() bool { return f.stats(t).Unpublished == 0 })
}

// versions returns the versions of a key in the order the broker has them.
func versions(t testing.TB, records []*kgo.Record) map[string][]int64 {
	t.Helper()
	out := map[string][]int64{}
	for _, r := range records {
		v := int64(-1)
		for _, h := range r.Headers {
			if h.Key == events.HeaderAggregateVersion {
				v, _ = strconv.ParseInt(string(h.Value), 10, 64)
			}
		}
		out[string(r.Key)] = append(out[string(r.Key)], v)
	}
	return out
}

// verify checks that the topic holds every row that was inserted, and that the
// first occurrences of each key's rows are in their order. It returns how many
// records are repetitions.
func (f *fixture) verify(t testing.TB) (repeated int) {
	t.Helper()
	got := versions(t, kafkatest.ReadAll(t, f.brokers, testTopic.Name))
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

// holder returns how many shards each relay leads at this moment.
func (f *fixture) holders(t testing.TB) map[uuid.UUID]int {
	t.Helper()
	rows, err := f.pool.Query(context.Background(),
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
