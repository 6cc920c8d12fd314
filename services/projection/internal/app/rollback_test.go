package app_test

import (
	"os"
	"testing"
	"testing/fstest"

	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/projection/internal/app"
)

// TestTheReleaseBeforeFindsItsOrders: the release before, which has no index of its own by status any
// more, starts on the database of this one and gets the same page from its query.
func TestTheReleaseBeforeFindsItsOrders(t *testing.T) {
	t.Parallel()
	own := postgres.Component{Name: "projection", FS: os.DirFS("../../migrations")}
	url := pgtest.NewURL(t, own)
	before := fstest.MapFS{}
	for _, name := range []string{"00001_read_models.sql", "00002_facts.sql"} {
		text, err := os.ReadFile("../../migrations/" + name)
		if err != nil {
			t.Fatal(err)
		}
		before[name] = &fstest.MapFile{Data: text}
	}
	if err := postgres.Migrate(t.Context(), url, postgres.Component{Name: own.Name, FS: before}); err != nil {
		t.Fatalf("the release before does not start: %v", err)
	}
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	f := &fixture{t: t, pool: pool, app: app.New(pool)}
	f.exec(`INSERT INTO orders (order_id, status, customer_id, created_at, updated_at)
		SELECT gen_random_uuid()::text, 'PENDING', 'c', now(), now() FROM generate_series(1, 50)`)
	rows, err := f.app.Orders(t.Context(), app.Filter{Status: "PENDING", Limit: 100})
	if err != nil || len(rows) != 50 {
		t.Fatalf("%d orders, %v", len(rows), err)
	}
	for i, id := range lines(t, pool, `SELECT order_id FROM orders WHERE status = 'PENDING' AND created_at IS NOT NULL
			AND order_id < 'ffffffff-ffff-ffff-ffff-ffffffffffff' ORDER BY order_id DESC LIMIT 100`) {
		if id != rows[i].OrderID {
			t.Fatalf("order %d is %s for the release before, and %s for this one", i, id, rows[i].OrderID)
		}
	}
}
