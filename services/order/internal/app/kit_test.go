package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/internal/order"
)

// kit is the use cases on a database of their own, at a time the test sets.
type kit struct {
	t    testing.TB
	pool *pgxpool.Pool
	app  *app.App

	mu  sync.Mutex
	now time.Time
}

func newKit(t testing.TB) *kit {
	t.Helper()
	k := &kit{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	k.pool = pgtest.NewDB(t, eventstore.Component(), outbox.Component(),
		postgres.Component{Name: "order", FS: os.DirFS("../../migrations")})
	k.app = app.New(app.Config{
		Pool:   k.pool,
		Outbox: outbox.New(schematest.Start(t).Codec(), "/eventshop/order"),
		Log:    slog.New(slog.DiscardHandler),
		Now:    k.time, SagaDeadline: 5 * time.Minute, SnapshotEvery: 4,
	})
	return k
}

func (k *kit) time() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

func (k *kit) advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = k.now.Add(d)
}

func cart() app.PlaceOrder {
	return app.PlaceOrder{
		Customer:        order.Customer{ID: "cust-7", Name: "Ada Lovelace", Email: "ada@example.com"},
		ShippingAddress: order.Address{Street: "123 Babbage Lane", City: "London", PostalCode: "SW1A 1AA"},
		Items:           []order.Item{{SKU: "WIDGET-01", Quantity: 2, UnitPrice: 2999}, {SKU: "GADGET-05", Quantity: 1, UnitPrice: 4001}},
		TotalAmount:     9999,
		Currency:        "GBP",
	}
}

func (k *kit) tx(fn func(tx pgx.Tx) error) error {
	return postgres.InTx(context.Background(), k.pool, fn)
}

func (k *kit) place(p app.PlaceOrder) order.Order {
	k.t.Helper()
	var o order.Order
	err := k.tx(func(tx pgx.Tx) (err error) {
		o, err = k.app.PlaceOrder(context.Background(), tx, p)
		return err
	})
	if err != nil {
		k.t.Fatalf("place: %v", err)
	}
	return o
}

func (k *kit) cancel(id, why string) (o order.Order, err error) {
	err = k.tx(func(tx pgx.Tx) (err error) {
		o, err = k.app.CancelOrder(context.Background(), tx, id, why)
		return err
	})
	return o, err
}

func (k *kit) get(id string) order.Order {
	k.t.Helper()
	o, err := k.app.GetOrder(context.Background(), id)
	if err != nil {
		k.t.Fatalf("get: %v", err)
	}
	return o
}

// told lets a reaction handle an event, in a transaction as the consumer's.
func told[T events.Event](k *kit, reaction func(context.Context, pgx.Tx, consumer.Event[T]) error, data T) error {
	return k.tx(func(tx pgx.Tx) error { return reaction(context.Background(), tx, event(data)) })
}

// tell is told where no error is expected.
func tell[T events.Event](k *kit, reaction func(context.Context, pgx.Tx, consumer.Event[T]) error, data T) {
	k.t.Helper()
	if err := told(k, reaction, data); err != nil {
		k.t.Fatalf("%s: %v", data.EventType(), err)
	}
}

func event[T events.Event](data T) consumer.Event[T] {
	return consumer.Event[T]{
		Envelope: events.Envelope{ID: uuid.Must(uuid.NewV7()), Type: data.EventType(), CorrelationID: data.AggregateKey()},
		Data:     data,
	}
}

// row is what of an outbox row this service decides.
type row struct {
	Topic, Type string
	Version     int64
}

// outbox lists an order's outbox rows in the order of publication.
func (k *kit) outbox(id string) []row {
	k.t.Helper()
	rows, err := k.pool.Query(context.Background(), `
		SELECT topic, event_type, ce_aggregateversion FROM outbox
		WHERE aggregate_id = $1 AND key = convert_to($1, 'UTF8') ORDER BY seq`, id)
	if err != nil {
		k.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		k.t.Fatal(err)
	}
	return got
}

// published is outbox without the snapshots.
func (k *kit) published(id string) []string {
	k.t.Helper()
	var names []string
	for _, r := range k.outbox(id) {
		if r.Topic == events.TopicOrderEvents {
			names = append(names, fmt.Sprintf("%s@%d", r.Type, r.Version))
		}
	}
	return names
}

func (k *kit) count(query string, args ...any) int {
	k.t.Helper()
	var n int
	if err := k.pool.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		k.t.Fatal(err)
	}
	return n
}
