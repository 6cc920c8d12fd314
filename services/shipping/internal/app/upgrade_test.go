package app

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

// before returns the URL of a database of an earlier release, which has these migrations, and a pool.
func before(t *testing.T, migrations ...string) (url string, pool *pgxpool.Pool) {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range migrations {
		data, err := os.ReadFile("../../migrations/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	url = pgtest.NewURL(t, outbox.Component(), postgres.Component{Name: "shipping", FS: files})
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return url, pool
}

// TestUpgradeKnowsWhatWasRejected starts from a database of the previous release. Its rows do not
// show which cancellations were rejected, but their versions show that one was.
func TestUpgradeKnowsWhatWasRejected(t *testing.T) {
	t.Parallel()
	url, pool := before(t, "00001_shipping.sql", "00002_called_off_dispatched.sql")
	if _, err := pool.Exec(t.Context(), `
		INSERT INTO shipments (order_id, state, version, correlation_id, dispatched_at, delivered_at, created_at, updated_at) VALUES
			('scheduled', 'SCHEDULED', 1, 'c', NULL, NULL, now(), now()), ('called off', 'CANCELLED', 4, 'c', now(), NULL, now(), now()),
			('left', 'DISPATCHED', 2, 'c', now(), NULL, now(), now()), ('left, rejected', 'DISPATCHED', 3, 'c', now(), NULL, now(), now()),
			('there', 'DELIVERED', 3, 'c', now(), now(), now(), now()), ('there, rejected', 'DELIVERED', 4, 'c', now(), now(), now(), now())`); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), url, postgres.Component{Name: "shipping", FS: os.DirFS("../../migrations")}); err != nil {
		t.Fatal(err)
	}
	rows, err := pool.Query(t.Context(), `SELECT order_id || ': ' || rejected_requests::text FROM shipments ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"called off: {}", "left, rejected: {*}", "left: {}", "scheduled: {}", "there, rejected: {*}", "there: {}"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rejected requests (-want +got):\n%s", diff)
	}
}
