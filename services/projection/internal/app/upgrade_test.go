package app_test

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
	"eventshop.example/services/projection/internal/app"
)

// TestUpgradeKeepsTheSums starts from a database of the first release, with a sum close to the
// limit of bigint. The sums stay, the events behind them are not counted again, and amounts that
// did not fit before are added.
func TestUpgradeKeepsTheSums(t *testing.T) {
	t.Parallel()
	first, err := os.ReadFile("../../migrations/00001_read_models.sql")
	if err != nil {
		t.Fatal(err)
	}
	others := []postgres.Component{outbox.Component(), inbox.Component(), retry.Component()}
	url := pgtest.NewURL(t, append(others, postgres.Component{
		Name: "projection", FS: fstest.MapFS{"00001_read_models.sql": {Data: first}},
	})...)
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	f := &fixture{t: t, pool: pool, app: app.New(pool)}

	paid := deliveryOf(app.OnPaymentCompleted, 1, events.PaymentCompleted{OrderID: "o-1", Amount: 9223372036854775800, Currency: "GBP", OccurredAt: start})
	back := deliveryOf(app.OnPaymentRefunded, 2, events.PaymentRefunded{OrderID: "o-1", Amount: 100, Currency: "GBP", OccurredAt: start})
	dead := deliveryOf(app.OnPaymentCompleted, 1, events.PaymentCompleted{OrderID: "o-2", Amount: 8, Currency: "GBP", OccurredAt: start})
	for _, e := range []struct {
		delivery
		version int
	}{{paid, 1}, {back, 2}} {
		f.exec(`INSERT INTO timeline (order_id, event_id, topic, event_type, version, occurred_at) VALUES ('o-1', $1, $2, $3, $4, $5)`,
			e.id, e.topic, e.name, e.version, start)
	}
	f.exec(`INSERT INTO orders (order_id, updated_at, attention_version) VALUES ('o-1', $1, 2)`, start)
	f.exec(`INSERT INTO revenue_days (day, currency, captured, refunded, payments, refunds)
		VALUES ('2026-11-24', 'GBP', 9223372036854775800, 100, 1, 1), ('2026-11-24', 'JPY', 0, 9223372036854775807, 0, 7)`)

	if err := postgres.Migrate(t.Context(), url, postgres.Component{Name: "projection", FS: os.DirFS("../../migrations")}); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, pool, `SELECT saga_style FROM orders`); !cmp.Equal(got, []string{"choreographed"}) {
		t.Errorf("an order of before has the style %v", got)
	}
	sums := func() []string {
		return lines(t, pool, `SELECT concat_ws(' ', currency, captured, payments, refunded, refunds) FROM revenue_days ORDER BY 1`)
	}
	jpy := "JPY 0 0 9223372036854775807 7"
	f.receive(paid, back) // again: the inbox was dropped with its day
	if diff := cmp.Diff([]string{"GBP 9223372036854775800 1 100 1", jpy}, sums()); diff != "" {
		t.Errorf("after the upgrade and a replay (-want +got):\n%s", diff)
	}
	f.receive(dead, dead) // a dead letter until now
	if diff := cmp.Diff([]string{"GBP 9223372036854775808 2 100 1", jpy}, sums()); diff != "" {
		t.Errorf("what did not fit before (-want +got):\n%s", diff)
	}
}

func (f *fixture) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.pool.Exec(f.t.Context(), sql, args...); err != nil {
		f.t.Fatal(err)
	}
}
