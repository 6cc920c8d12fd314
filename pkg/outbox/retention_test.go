package outbox

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// value reads one counter or gauge with the label table.
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

// TestServiceDropsOldDays runs the upkeep as a service does. Both tables have days that
// are old enough; what is unpublished or was received lately holds its day.
func TestServiceDropsOldDays(t *testing.T) {
	t.Parallel()
	url := pgtest.NewURL(t, Component(), inbox.Component())
	f := &fixture{pool: open(t, url), url: url, out: New(nil, "/test")}
	now := time.Now()
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	for _, table := range []string{"outbox", "inbox"} {
		if err := postgres.EnsurePartitions(t.Context(), f.pool, table, day(-6), day(-3)); err != nil {
			t.Fatal(err)
		}
	}
	tx := f.begin(t)
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
			if _, err := tx.Exec(t.Context(), "UPDATE outbox SET published_at = now() WHERE id = $1", id); err != nil {
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
	commit(t, tx)

	const keep = 84 * time.Hour // 3.5 days
	reg := prometheus.NewRegistry()
	l := postgres.NewLifecycle(url, f.pool, slog.Default(), reg, []postgres.Component{Component(), inbox.Component()},
		f.out.Upkeep(f.pool, keep), inbox.Upkeep(f.pool, time.Now, keep))
	if err := l.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Maintain(ctx) }()
	kafkatest.Eventually(t, "the upkeep to succeed", func() bool {
		return value(t, reg, "eventshop_upkeep_last_success_timestamp_seconds", "inbox") >= float64(now.Unix())
	})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	exists := func(table string, at time.Time) (ok bool) {
		err := f.pool.QueryRow(t.Context(), "SELECT to_regclass($1) IS NOT NULL", postgres.PartitionName(table, at)).Scan(&ok)
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
		if got := value(t, reg, "eventshop_partitions_dropped_total", table); got != dropped {
			t.Errorf("%s: %g partitions counted as dropped, want %g", table, got, dropped)
		}
		if got := value(t, reg, "eventshop_upkeep_failures_total", table); got != 0 {
			t.Errorf("%s: %g failures", table, got)
		}
	}
	if s := f.stats(t); s.Unpublished != 2 {
		t.Errorf("%d unpublished rows after the upkeep, want 2: they must survive any age", s.Unpublished)
	}
}
