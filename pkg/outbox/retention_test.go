package outbox

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// value returns one counter or gauge with the label table.
func value(t *testing.T, reg *prometheus.Registry, name, table string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == table {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s{table=%q}", name, table)
	return 0
}

// TestServiceDropsOldDays runs the upkeep as a service does. Both tables have days that are old
// enough. Unpublished rows and recent receipts keep their days.
func TestServiceDropsOldDays(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t, Component(), inbox.Component())
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	out := New(Config{Source: "/test"})
	now := time.Now()
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	for _, table := range []string{"outbox", "inbox"} {
		if err := postgres.EnsurePartitions(t.Context(), pool, table, day(-6), day(-3)); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // it is committed
	for _, r := range []struct {
		day       int
		published bool
	}{{-6, true}, {-5, false}, {-4, true}, {-3, true}, {0, false}} {
		id := postgres.LowerBound(day(r.day))
		id[15] = 1
		if err := insert(t.Context(), tx, []row{{id: id, topic: "t"}}); err != nil {
			t.Fatal(err)
		}
		if r.published {
			if _, err := tx.Exec(t.Context(), "DELETE FROM outbox_queue WHERE id = $1", id); err != nil {
				t.Fatal(err)
			}
		}
		received := day(r.day)
		if r.day == -5 {
			received = now
		}
		if _, err := tx.Exec(t.Context(), "INSERT INTO inbox (consumer_group, message_id, event_type, received_at) VALUES ('g', $1, 'T', $2)", id, received); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}

	const keep = 84 * time.Hour // 3.5 days
	reg := prometheus.NewRegistry()
	l := postgres.NewLifecycle(url, pool, slog.Default(), reg, []postgres.Component{Component(), inbox.Component()},
		out.Upkeep(pool, keep), inbox.Upkeep(pool, time.Now, keep))
	if err := l.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Maintain(ctx) }()
	kafkatest.Eventually(t, "the upkeep to succeed", func() bool {
		return value(t, reg, "upkeep_last_success_timestamp_seconds", "inbox") >= float64(now.Unix())
	})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	exists := func(table string, at time.Time) (ok bool) {
		err := pool.QueryRow(t.Context(), "SELECT to_regclass($1) IS NOT NULL", postgres.PartitionName(table, at)).Scan(&ok)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	for _, table := range []string{"outbox", "inbox"} {
		dropped := 0.0
		for n, want := range map[int]bool{-6: false, -5: true, -3: true, 1: true, daysAhead: true} {
			if got := exists(table, day(n)); got != want {
				t.Errorf("%s: partition of day %+d exists: %t, want %t", table, n, got, want)
			}
		}
		for n := -6; n <= -3; n++ { // whether day -4 has gone depends on the time of day
			if !exists(table, day(n)) {
				dropped++
			}
		}
		if got := value(t, reg, "partitions_dropped_total", table); got != dropped {
			t.Errorf("%s: %g partitions counted as dropped, want %g", table, got, dropped)
		}
		if got := value(t, reg, "upkeep_failures_total", table); got != 0 {
			t.Errorf("%s: %g failures", table, got)
		}
	}
	var unpublished int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE id IN (SELECT id FROM outbox_queue)`).Scan(&unpublished); err != nil {
		t.Fatal(err)
	}
	if unpublished != 2 {
		t.Errorf("%d unpublished rows after the upkeep, want 2: they must survive any age", unpublished)
	}
}

// The time of publication stays as long as the row, and at least as long as keep. A row whose time is
// gone still counts as published.
func TestTimesOfPublicationArePruned(t *testing.T) {
	t.Parallel()
	pool := pgtest.NewDB(t, Component())
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	const hour = time.Hour
	for seq, age := range []time.Duration{100 * hour, 80 * hour, 50 * hour, hour} {
		exec(`INSERT INTO outbox_acknowledgement (published_at, seqs) VALUES (clock_timestamp() - $1::interval, int8multirange(int8range($2, $2, '[]')))`, age, seq+1)
	}
	left := func() (seqs []int64) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), `SELECT array_agg(lower(seqs) ORDER BY published_at) FROM outbox_acknowledgement`).Scan(&seqs); err != nil {
			t.Fatal(err)
		}
		return seqs
	}
	prune := func(keep time.Duration) {
		t.Helper()
		if _, err := New(Config{Source: "/test"}).Upkeep(pool, keep).Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if prune(90 * hour); !slices.Equal(left(), []int64{1, 2, 3, 4}) {
		t.Errorf("left %v: a day longer than keep", left())
	}
	exec(`INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, created_at, published_at) VALUES ($1, 0, '', '', '', 't', clock_timestamp() - interval '60 hours', 'epoch')`,
		postgres.LowerBound(time.Now().Add(-60*hour)))
	if prune(20 * hour); !slices.Equal(left(), []int64{2, 3, 4}) {
		t.Errorf("left %v, want what is younger than the oldest row and a day", left())
	}
	exec(`DELETE FROM outbox_acknowledgement`)
	var published bool
	if err := pool.QueryRow(t.Context(), `SELECT published_at = created_at FROM outbox_history`).Scan(&published); err != nil || !published {
		t.Errorf("a row without its time is published when it was written: %t, %v", published, err)
	}
}
