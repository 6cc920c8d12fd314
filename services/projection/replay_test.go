package projection

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/participant/participanttest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/position"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// site is the service's surroundings: a broker, a registry and a database, and the events of 44
// orders, each paid with the maximum of int64.
type site struct {
	t       *testing.T
	cfg     Config
	brokers []string
	pool    *pgxpool.Pool
	records []*kgo.Record
}

func newSite(t *testing.T) *site {
	t.Helper()
	registry := schematest.Start(t)
	codec := schema.NewCodec(schema.NewClient(registry.URL), events.Catalogue())
	if err := codec.Register(t.Context(), events.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	topics := events.Topics()
	for _, topic := range events.Topics() {
		topics = append(topics, event.RetryTopic(topic.Name, name), event.DeadLetterTopic(topic.Name, name))
	}
	s := &site{t: t, brokers: kafkatest.Start(t, topics...)}
	s.cfg = Config{
		Config: participant.Config{
			DatabaseURL: pgtest.NewURL(t), Brokers: s.brokers, RegistryURL: registry.URL,
			Retry: consumer.Retry{Attempts: 2, Backoff: consumer.Backoff{Base: 10 * time.Millisecond, Max: 10 * time.Millisecond}},
		},
	}
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: s.cfg.DatabaseURL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s.pool = pool

	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	tell := func(version int64, e event.Event) {
		s.records = append(s.records, kafkatest.Record(t, codec, e, func(env *event.Envelope) { env.AggregateVersion = version }))
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
	return s
}

// read waits until the positions are behind n records.
func (s *site) read(n int) {
	s.t.Helper()
	kafkatest.Eventually(s.t, "all to be received", func() bool {
		var got int
		err := s.pool.QueryRow(s.t.Context(), `SELECT coalesce(sum(next_offset), 0) FROM consumer_positions`).Scan(&got)
		return err == nil && got == n
	})
}

func (s *site) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.pool.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

// forget deletes the group with its offsets. The service must have stopped.
func (s *site) forget() {
	s.t.Helper()
	gone, err := kadm.NewClient(kafkatest.NewClient(s.t, s.brokers)).DeleteGroups(s.t.Context(), name)
	if err == nil {
		err = gone.Error()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// nothingIn checks that tables are empty.
func (s *site) nothingIn(tables ...string) {
	s.t.Helper()
	for _, table := range tables {
		var n int
		if err := s.pool.QueryRow(s.t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil || n != 0 {
			s.t.Errorf("%d rows in %s (%v)", n, table, err)
		}
	}
}

const revenueOfAll = `{"day": "2026-11-24", "refunds": 44, "captured": 405828369621610135508, "currency": "GBP", "payments": 44, "refunded": 405828369621610135508}`

// TestReplayThroughKafka runs the whole service on all events. Then it deletes the positions and the
// consumer group, and runs the service again. The second run reads everything again: no dead letter
// results, and no row changes.
func TestReplayThroughKafka(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	kafkatest.Produce(t, s.brokers, s.records...)
	stop := serve(t, s.cfg)
	s.read(len(s.records))
	stop()
	before := rowsOf(t, s.pool)
	if got := before["revenue_days"][0]; got != revenueOfAll {
		t.Errorf("revenue %s", got)
	}

	s.exec(`TRUNCATE consumer_positions`)
	s.forget()
	stop = serve(t, s.cfg)
	s.read(len(s.records))
	stop()
	if diff := cmp.Diff(before, rowsOf(t, s.pool)); diff != "" {
		t.Errorf("rows (-before +after):\n%s", diff)
	}
	s.nothingIn("dead_letters", "parked_keys", "outbox", "inbox")
}

// TestUpgradeFromReceipts: the release before stored a receipt per event and no positions. It has
// handled half of the events, and the group's offset is behind that, as after a crash. The new
// release applies nothing twice, also when the relay publishes everything again, and leaves nothing
// out. It has stored no receipt of its own.
func TestUpgradeFromReceipts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	half := len(s.records) / 2
	kafkatest.Produce(t, s.brokers, s.records[:half]...)
	stop := serve(t, s.cfg)
	s.read(half)
	stop()
	// The database of the release before has the same read models.
	s.exec(`INSERT INTO inbox (consumer_group, message_id, event_type) SELECT $1, event_id, event_type FROM timeline`, name)
	s.exec(`DROP TABLE consumer_positions, ` + position.Component().Name + "_migrations")
	s.forget()
	before := rowsOf(t, s.pool)
	stop = serve(t, s.cfg)
	s.read(half)
	if diff := cmp.Diff(before, rowsOf(t, s.pool)); diff != "" {
		t.Errorf("rows after the upgrade (-before +after):\n%s", diff)
	}
	kafkatest.Produce(t, s.brokers, s.records...) // the first half again, at other offsets
	s.read(half + len(s.records))
	stop()
	after := rowsOf(t, s.pool)
	if got := after["revenue_days"][0]; got != revenueOfAll {
		t.Errorf("revenue %s", got)
	}
	if n := len(after["timeline"]); n != len(s.records) {
		t.Errorf("%d facts in the timeline, want %d", n, len(s.records))
	}
	var receipts int
	if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM inbox`).Scan(&receipts); err != nil || receipts != half {
		t.Errorf("%d receipts, want the %d of before (%v)", receipts, half, err)
	}
	s.nothingIn("dead_letters", "parked_keys", "outbox")
}

// serve runs the service as its main function does, until stop is called.
func serve(t *testing.T, cfg Config) (stop func()) {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = participanttest.Address(t)
	}
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

// rowsOf returns every row of the read models, sorted.
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
