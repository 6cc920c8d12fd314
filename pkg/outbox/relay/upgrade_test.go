package relay

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/admin"
	"eventshop.example/pkg/outbox/outboxtest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// newBeforeUpgrade returns a table as the release before made it.
func newBeforeUpgrade(t testing.TB, brokers []string) *fixture {
	t.Helper()
	comp := outbox.Component()
	files := fstest.MapFS{}
	for _, name := range []string{"00001_outbox.sql", "00002_republish.sql", "00003_change_data_capture.sql"} {
		text, err := fs.ReadFile(comp.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	comp.FS, comp.Partitioned = files, []postgres.Partitioned{{Table: "outbox", KeepIf: "published_at IS NULL"}}
	return &fixture{Table: outboxtest.At(t, pgtest.NewURL(t, comp)), brokers: brokers}
}

func (f *fixture) upgrade(t *testing.T) {
	t.Helper()
	if err := postgres.Migrate(t.Context(), f.URL, outbox.Component()); err != nil {
		t.Fatal(err)
	}
}

// downgrade undoes the migration.
func (f *fixture) downgrade(t *testing.T) error {
	t.Helper()
	db := stdlib.OpenDBFromPool(f.Pool)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, outbox.Component().FS,
		goose.WithTableName("outbox_migrations"), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	_, err = provider.DownTo(t.Context(), 3)
	return err
}

// inOrder checks that the topic has exactly the versions from 1 to last of each key, once each.
func (f *fixture) inOrder(t *testing.T, last map[string]int64) {
	t.Helper()
	got := outboxtest.Versions(kafkatest.ReadAll(t, f.brokers, testTopic.Name))
	for key, n := range last {
		var want []int64
		for v := range n {
			want = append(want, v+1)
		}
		if !slices.Equal(got[key], want) {
			t.Errorf("key %s: versions %v, want 1 to %d", key, got[key], n)
		}
	}
}

// published returns when each row was published, in the order of the sequence numbers.
func (f *fixture) published(t *testing.T, table string) []*time.Time {
	t.Helper()
	found, err := f.Pool.Query(t.Context(), `SELECT published_at FROM `+table+` ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(found, pgx.RowTo[*time.Time])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A database of the release before has published rows, rows that wait, rows that are being published
// again, a raw record, and a hold. The new relay finds all of it.
func TestUpgradeOfADatabaseInUse(t *testing.T) {
	t.Parallel()
	f := newBeforeUpgrade(t, kafkatest.Start(t, testTopic))
	p := f.before()
	for version := range int64(6) {
		p.insert(t, "a", version+1)
		p.insert(t, "b", version+1)
	}
	f.Exec(t, `INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, payload) VALUES ($1, 0, '', '', '', $2, 'raw')`,
		uuid.Must(uuid.NewV7()), testTopic.Name)
	p.claim(t)
	ids := p.read(t).ids
	p.mark(t, 1, ids[:4]...)                                                                           // a/1, b/1, a/2, b/2
	f.Exec(t, `UPDATE outbox SET published_at = NULL, publication = 2 WHERE seq IN (1, 3) OR seq = 5`) // of key a
	f.Exec(t, `INSERT INTO outbox_hold (name, owner, reason, expires_at) VALUES ('operator', gen_random_uuid(), 'disk', 'infinity')`)
	f.Exec(t, formerHandBack, p.id)
	times := f.published(t, "outbox")

	f.upgrade(t)
	if d := f.stats(t); d.Unpublished != 11 || d.Published != 2 || len(d.Holds) != 1 {
		t.Errorf("%d wait, %d published, holds %v", d.Unpublished, d.Published, d.Holds)
	}
	r := f.start(t, quick)
	kafkatest.Eventually(t, "the relay to be held", func() bool { err := r.Ready(); return err != nil && strings.Contains(err.Error(), "disk") })
	f.Append(t, "c")
	f.Exec(t, `DELETE FROM outbox_hold`)
	f.awaitPublished(t)
	got := outboxtest.Versions(kafkatest.ReadAll(t, f.brokers, testTopic.Name))
	if !slices.Equal(got["a"], []int64{1, 2, 3, 4, 5, 6}) || !slices.Equal(got["b"], []int64{3, 4, 5, 6}) || len(got[""]) != 1 || len(got["c"]) != 1 {
		t.Errorf("published %v", got)
	}
	for i, at := range f.published(t, "outbox_history") {
		switch {
		case at == nil:
			t.Errorf("row %d: the time of publication is lost", i+1)
		case i < len(times) && times[i] != nil && !at.Equal(*times[i]):
			t.Errorf("row %d: published at %s, was %s before the upgrade", i+1, at, times[i])
		}
	}
}

// Processes of both releases append events of the same keys in turn. The relays of the release
// before stand by without an error.
func TestProcessesOfTwoReleases(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic)) // the roles are separate
	f.start(t, quick)
	p := f.before()
	random := rand.New(rand.NewPCG(1, 2))
	last := map[string]int64{}
	for range 300 {
		key := fmt.Sprintf("k%d", random.IntN(5))
		last[key]++
		if random.IntN(2) == 0 {
			p.insert(t, key, last[key])
			continue
		}
		tx := f.Begin(t)
		err := f.Out.Append(t.Context(), tx, outbox.Entry{Event: outboxtest.Happened{Key: key}, Version: last[key]})
		if err != nil {
			t.Fatal(err)
		}
		outboxtest.Commit(t, tx)
		if shards := p.claim(t); len(shards) != 0 {
			t.Fatalf("a relay of the release before leads %v", shards)
		}
	}
	f.awaitPublished(t)
	f.inOrder(t, last)
	for key, n := range f.Holders(t) {
		if n != outbox.Shards {
			t.Errorf("the relay %s leads %d shards: it counts relays that stand by", key, n)
		}
	}
}

// A relay of the release before leads, with rows in memory, while another process migrates. Its marks
// count, and only for what it sent. It reads nothing more, not even for the rest of its lease, and a new
// relay leads at once.
func TestARelayOfTheReleaseBeforeGivesWay(t *testing.T) {
	t.Parallel()
	f := newBeforeUpgrade(t, nil)
	p := f.before()
	for version := range int64(10) {
		p.insert(t, "a", version+1)
	}
	if shards := p.claim(t); len(shards) != outbox.Shards {
		t.Fatalf("it leads %v", shards)
	}
	read := p.read(t)
	f.upgrade(t)
	tx := f.Begin(t)
	if err := f.Out.Append(t.Context(), tx, outbox.Entry{Event: outboxtest.Happened{Key: "b"}, Version: 1}); err != nil {
		t.Fatal(err)
	}
	outboxtest.Commit(t, tx)
	p.insert(t, "b", 2) // the former relay sees this one, and not the one before it
	if got := p.read(t); len(got.ids) != 0 {
		t.Errorf("the former relay reads %d rows", len(got.ids))
	}
	f.Exec(t, `DELETE FROM outbox_queue q USING outbox o WHERE o.id = q.id AND o.aggregate_id = 'b'`)

	r := New(f.Pool, f.Out, Config{Lease: time.Hour})
	claim := func() []int16 {
		t.Helper()
		shards, _, err := r.table.claim(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return shards
	}
	if shards := claim(); len(shards) != outbox.Shards {
		t.Errorf("the new relay leads %v", shards)
	}
	if shards := p.claim(t); len(shards) != 0 {
		t.Errorf("the former relay renews %v", shards)
	}
	p.mark(t, 1, read.ids[:5]...)
	if n := f.Unpublished(t); n != 5 {
		t.Errorf("%d wait after 5 of 10 were marked", n)
	}
	f.Exec(t, formerHandBack, p.id)
	if shards := claim(); len(shards) != outbox.Shards {
		t.Errorf("the new relay leads %v after the former one has stopped", shards)
	}

	// It thaws after its rows were queued again, and marks the rest of what it sent.
	f.Exec(t, `UPDATE outbox_lease SET holder = NULL, expires_at = '-infinity'`)
	if n, err := f.admin().Republish(t.Context(), admin.Selection{}); err != nil || n != 7 {
		t.Fatalf("%d rows, %v", n, err)
	}
	p.mark(t, 1, read.ids...)
	if n := f.Unpublished(t); n != 12 {
		t.Errorf("%d wait after the late marks, want 12", n)
	}
}

// A process of the release before publishes rows again. It does so in the table alone.
func TestAProcessOfTheReleaseBeforeRepublishes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	r := f.start(t, quick, func(r *Relay) { r.boundTick, r.boundAfter = time.Millisecond, 1 })
	p := f.before()
	for version := range int64(5) {
		p.insert(t, "a", version+1)
	}
	f.Append(t, outboxtest.Keys(20, 4)...)
	f.awaitPublished(t)
	kafkatest.Eventually(t, "a bound above them", func() bool { return r.flight.currentBound().shards == [outbox.Shards]int64{26, 26, 26, 26} })
	if err := f.admin().Hold(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	p.insert(t, "a", 6) // waits, and is behind the others of its key
	f.Exec(t, formerRepublish)
	if n := f.Unpublished(t); n != 26 {
		t.Errorf("%d wait, want all 26", n)
	}
	if err := f.admin().Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.awaitPublished(t)
	got := outboxtest.Versions(kafkatest.ReadAll(t, f.brokers, testTopic.Name))["a"]
	if !slices.Equal(got, []int64{1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6}) {
		t.Errorf("published %v", got)
	}
}

// Without the release that made the queue, nothing would be published. Its predecessor's relays
// report that, and are not ready. The migration can be undone while no process runs.
func TestRollingBack(t *testing.T) {
	t.Parallel()
	f := newBeforeUpgrade(t, kafkatest.Start(t, testTopic))
	p := f.before()
	p.insert(t, "a", 1)
	f.upgrade(t)
	if shards := p.claim(t); len(shards) != 0 {
		t.Errorf("it leads %v", shards)
	}
	r := f.start(t, quick)
	f.awaitPublished(t)
	err := f.downgrade(t)
	for err != nil && strings.Contains(err.Error(), "deadlock detected") {
		err = f.downgrade(t) // its locks and the relay's met, and the server ended the migration
	}
	if err == nil || !strings.Contains(err.Error(), "stop every process") {
		t.Errorf("the migration is undone while a relay runs: %v", err)
	}
	f.Exec(t, `UPDATE outbox_mode SET queue_since = queue_since - interval '2 minutes'`)
	if shards := p.claim(t); len(shards) != 0 {
		t.Errorf("it leads %v", shards)
	}
	r.stop(t)
	if _, err := p.tryClaim(t); err != nil {
		t.Errorf("just after a relay has stopped: %v", err)
	}
	f.Exec(t, `UPDATE outbox_relay SET expires_at = expires_at - interval '2 minutes' WHERE queue`)
	if _, err := p.tryClaim(t); err == nil || !strings.Contains(err.Error(), "later release") {
		t.Errorf("without a relay that reads the queue: %v", err)
	}

	p.insert(t, "a", 2)
	tx := f.Begin(t)
	for version := range int64(2) {
		if err := f.Out.Append(t.Context(), tx, outbox.Entry{Event: outboxtest.Happened{Key: "a"}, Version: version + 3}); err != nil {
			t.Fatal(err)
		}
	}
	outboxtest.Commit(t, tx)
	f.Exec(t, `UPDATE outbox SET ce_sagastyle = 'orchestrated' WHERE ce_aggregateversion = 4`)
	if err := f.downgrade(t); err == nil || !strings.Contains(err.Error(), "orchestrated") {
		t.Errorf("the style of a waiting event is forgotten: %v", err)
	}
	f.Exec(t, `UPDATE outbox SET ce_sagastyle = 'choreographed'`)
	if err := f.downgrade(t); err != nil {
		t.Fatal(err)
	}
	p.claim(t)
	if got := p.read(t).versions; !slices.Equal(got, []int64{2, 3, 4}) {
		t.Errorf("after it, versions %v wait, want 2 to 4", got)
	}
	f.Exec(t, formerHandBack, p.id)
	f.upgrade(t)
	f.start(t, quick)
	f.awaitPublished(t)
	f.inOrder(t, map[string]int64{"a": 4})
}

// A process of the release before registers its condition when it starts. The queue's stays.
func TestTheQueueKeepsItsDays(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	owner := f.Owner(t)
	if _, err := owner.Exec(t.Context(), formerRegister); err != nil {
		t.Fatal(err)
	}
	var condition string
	if err := owner.QueryRow(t.Context(), `SELECT keep_if FROM partitioned_tables WHERE name = 'outbox'`).Scan(&condition); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(condition, "outbox_queue") {
		t.Errorf("registered: %s", condition)
	}
}
