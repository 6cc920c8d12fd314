package projection

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// TestReplayThroughKafka runs the whole service over the events of 44 orders, each paid with
// all that int64 holds; then empties its inbox, deletes its group and runs it again. The
// second time everything is read once more: no dead letter comes of it, and no row changes.
func TestReplayThroughKafka(t *testing.T) {
	t.Parallel()
	registry := schematest.Start(t)
	codec := schema.NewCodec(schema.NewClient(registry.URL))
	if err := codec.Register(t.Context(), events.Catalogue()...); err != nil {
		t.Fatal(err)
	}
	topics := events.Topics()
	for _, topic := range events.Topics() {
		topics = append(topics, events.RetryTopic(topic.Name, name), events.DeadLetterTopic(topic.Name, name))
	}
	brokers := kafkatest.Start(t, topics...)
	cfg := Config{
		DatabaseURL: pgtest.NewURL(t), Brokers: brokers, RegistryURL: registry.URL,
		Retry: consumer.Retry{Attempts: 2, Backoff: consumer.Backoff{Base: 10 * time.Millisecond, Max: 10 * time.Millisecond}},
	}
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: cfg.DatabaseURL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)

	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var records []*kgo.Record
	tell := func(version int64, e events.Event) {
		records = append(records, kafkatest.Record(t, codec, e, func(env *events.Envelope) { env.AggregateVersion = version }))
	}
	for range 44 {
		id := uuid.Must(uuid.NewV7()).String()
		tell(1, events.OrderCreated{
			OrderID: id, Customer: events.Customer{ID: "c"}, Currency: "GBP", TotalAmount: math.MaxInt64,
			Items: []events.OrderItem{{SKU: "WIDGET", Quantity: 1, UnitPrice: math.MaxInt64}}, ConfirmBy: at, OccurredAt: at,
		})
		tell(1, events.PaymentCompleted{OrderID: id, Amount: math.MaxInt64, Currency: "GBP", OccurredAt: at})
		tell(1, events.InventoryReservationFailed{OrderID: id, Reason: "out_of_stock", OccurredAt: at})
		tell(2, events.PaymentRefunded{OrderID: id, Amount: math.MaxInt64, Currency: "GBP", Reason: "out_of_stock", OccurredAt: at})
		tell(2, events.OrderCancelled{OrderID: id, Reason: "out_of_stock", OccurredAt: at})
	}
	kafkatest.Produce(t, brokers, records...)

	read := func() {
		t.Helper()
		kafkatest.Eventually(t, "all to be received", func() bool {
			var n int
			err := pool.QueryRow(t.Context(), `SELECT count(*) FROM inbox`).Scan(&n)
			return err == nil && n == len(records)
		})
	}
	stop := serve(t, cfg)
	read()
	stop()
	before := rowsOf(t, pool)
	want := `{"day": "2026-11-24", "refunds": 44, "captured": 405828369621610135508, "currency": "GBP", "payments": 44, "refunded": 405828369621610135508}`
	if before["revenue_days"][0] != want {
		t.Errorf("revenue %s", before["revenue_days"])
	}

	if _, err := pool.Exec(t.Context(), `TRUNCATE inbox`); err != nil {
		t.Fatal(err)
	}
	gone, err := kadm.NewClient(kafkatest.NewClient(t, brokers)).DeleteGroups(t.Context(), name)
	if err == nil {
		err = gone.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	stop = serve(t, cfg)
	read()
	stop()
	if diff := cmp.Diff(before, rowsOf(t, pool)); diff != "" {
		t.Errorf("rows (-before +after):\n%s", diff)
	}
	for _, table := range []string{"dead_letters", "parked_keys", "outbox"} {
		var n int
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows in %s (%v)", n, table, err)
		}
	}
}

// serve runs the service as its main function does, until stop is called.
func serve(t *testing.T, cfg Config) (stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Addr = listener.Addr().String()
	listener.Close()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}

// rowsOf is every row of the read models, sorted.
func rowsOf(t *testing.T, pool *pgxpool.Pool) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, table := range []string{"orders", "order_items", "timeline", "revenue_days"} {
		rows, err := pool.Query(t.Context(), fmt.Sprintf("SELECT to_jsonb(t) FROM %s t ORDER BY to_jsonb(t)::text", table))
		if err != nil {
			t.Fatal(err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range found {
			all[table] = append(all[table], string(row))
		}
	}
	return all
}
