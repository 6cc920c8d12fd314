package postgres_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

const day = 24 * time.Hour

func TestRetentionCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keep postgres.Retention
		want string // in the error; empty: none
	}{
		{postgres.Retention{Outbox: postgres.KeepOutbox, Inbox: postgres.KeepInbox}, ""},
		{postgres.Retention{Outbox: 7 * day, Inbox: 8 * day}, ""},
		{postgres.Retention{Outbox: 7 * day, Inbox: 8*day - 1}, "INBOX_KEEP must be at least 192h0m0s"},
		{postgres.Retention{Outbox: time.Minute, Inbox: 23 * time.Hour}, "INBOX_KEEP must be at least 24h1m0s"},
		{postgres.Retention{Inbox: day}, "OUTBOX_KEEP"},
	} {
		err := c.keep.Check()
		if c.want == "" && err != nil || c.want != "" && (errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.keep, err, c.want)
		}
	}
}

// metric returns each table's value of a counter or gauge.
func metric(t *testing.T, reg *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

func TestMaintainIsHourlyAndSoonerAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		started, reg := time.Now(), prometheus.NewRegistry()
		var turns, others []time.Duration
		fails := postgres.Upkeep{Table: "fails", Prune: func(context.Context) ([]string, error) {
			turns = append(turns, time.Since(started))
			switch len(turns) {
			case 1, 3:
				return []string{"fails_p20260301"}, errors.New("lock not had") // dropped one, not the next
			}
			return nil, nil
		}}
		works := postgres.Upkeep{Table: "works", Prepare: func(context.Context) error {
			others = append(others, time.Since(started))
			return nil
		}}
		l := postgres.NewLifecycle("", nil, slog.Default(), reg, nil, fails, works)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour+10*time.Minute)
		defer cancel()
		if err := l.Maintain(ctx); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{0, time.Minute, time.Hour + time.Minute, time.Hour + 2*time.Minute, 2*time.Hour + 2*time.Minute}
		if diff := cmp.Diff(want, turns); diff != "" {
			t.Errorf("turns (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, others); diff != "" {
			t.Errorf("turns of the table behind the one that fails (-want +got):\n%s", diff)
		}
		last := float64(started.Add(2*time.Hour + 2*time.Minute).Unix())
		for name, want := range map[string]map[string]float64{
			"upkeep_failures_total":                 {"fails": 2, "works": 0},
			"partitions_dropped_total":              {"fails": 2, "works": 0},
			"upkeep_last_success_timestamp_seconds": {"fails": last, "works": last},
		} {
			if diff := cmp.Diff(want, metric(t, reg, name)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

// A long transaction on an old day does not prevent a service from starting.
func TestMigrateDoesNotWaitForWhatIsOnlyPruned(t *testing.T) {
	t.Parallel()
	comp := component("log", `CREATE TABLE log (id uuid NOT NULL, PRIMARY KEY (id)) PARTITION BY RANGE (id);`)
	comp.Partitioned = []postgres.Partitioned{{Table: "log", KeepIf: "false"}}
	url := pgtest.NewURL(t, comp)
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := postgres.EnsurePartitions(t.Context(), pool, "log", noon, noon); err != nil {
		t.Fatal(err)
	}
	pruned := make(chan error, 1)
	u := postgres.Upkeep{
		Table: "log",
		Prepare: func(ctx context.Context) error {
			return postgres.EnsurePartitions(ctx, pool, "log", noon.Add(day), noon.Add(day))
		},
		Prune: func(ctx context.Context) ([]string, error) {
			dropped, err := postgres.DropPartitions(ctx, pool, "log", noon.Add(day))
			pruned <- err
			return dropped, err
		},
	}
	reg := prometheus.NewRegistry()
	l := postgres.NewLifecycle(url, pool, slog.Default(), reg, []postgres.Component{comp}, u)
	err = postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SELECT count(*) FROM log"); err != nil {
			return err
		}
		if err := l.Migrate(t.Context()); err != nil || !l.Prepared() {
			t.Errorf("Migrate: %v, prepared: %t", err, l.Prepared())
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Maintain(ctx) }()
		if err := <-pruned; errs.KindOf(err) != errs.Transient {
			t.Errorf("dropped behind a transaction: %v, want Transient", err)
		}
		cancel()
		return <-done
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"log_p20240301": 0, "log_p20240302": 0}, rows(t, pool)); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
}
