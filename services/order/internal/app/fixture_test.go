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
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/order"
)

// fixture holds the use cases on their own database, at a time that the test sets.
type fixture struct {
	t    testing.TB
	pool *pgxpool.Pool
	app  *app.App

	mu  sync.Mutex
	now time.Time
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	f.pool = pgtest.NewDB(t, eventstore.Component(), outbox.Component(),
		postgres.Component{Name: "order", FS: os.DirFS("../../migrations")})
	f.app = app.New(app.Config{
		Pool:   f.pool,
		Outbox: newOutbox(schematest.Start(t).Codec(events.Catalogue())),
		Log:    slog.New(slog.DiscardHandler),
		Now:    f.time, SagaDeadline: 5 * time.Minute, SnapshotEvery: 4,
	})
	return f
}

func (f *fixture) time() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fixture) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
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

func (f *fixture) tx(fn func(tx pgx.Tx) error) error {
	return postgres.InTx(context.Background(), f.pool, fn)
}

// command is tx for what a request does.
func (f *fixture) command(fn func(tx pgx.Tx) error) error {
	return postgres.InPipeline(context.Background(), f.pool, fn)
}

func (f *fixture) place(p app.PlaceOrder) order.Order {
	f.t.Helper()
	var o order.Order
	var committed func(context.Context)
	err := f.command(func(tx pgx.Tx) (err error) {
		o, committed, err = f.app.PlaceOrder(context.Background(), tx, p)
		return err
	})
	if err != nil {
		f.t.Fatalf("place: %v", err)
	}
	committed(context.Background())
	return o
}

func (f *fixture) cancel(id, why string) (o order.Order, err error) {
	var committed func(context.Context)
	err = f.command(func(tx pgx.Tx) (err error) {
		o, _, committed, err = f.app.CancelOrder(context.Background(), tx, id, why)
		return err
	})
	if err == nil {
		committed(context.Background())
	}
	return o, err
}

func (f *fixture) get(id string) order.Order {
	f.t.Helper()
	o, err := f.app.GetOrder(context.Background(), id)
	if err != nil {
		f.t.Fatalf("get: %v", err)
	}
	return o
}

// receive handles an event in a transaction, as the consumer does.
func receive[T event.Event](f *fixture, input func(consumer.Event[T]) app.Input, data T) error {
	return deliver(f, input, delivered(data))
}

func deliver[T event.Event](f *fixture, input func(consumer.Event[T]) app.Input, e consumer.Event[T]) error {
	var decisions []reaction.Decision[app.Order]
	err := f.tx(func(tx pgx.Tx) (err error) {
		decisions, err = react(f, tx, input, e)
		return err
	})
	if err == nil {
		ctx := telemetry.With(context.Background(), e.Data.AggregateKey(), e.ID.String(), e.CorrelationID)
		reaction.Committed(ctx, decisions...)
	}
	return err
}

// react handles an event in the caller's transaction.
func react[T event.Event](f *fixture, tx pgx.Tx, input func(consumer.Event[T]) app.Input, e consumer.Event[T]) ([]reaction.Decision[app.Order], error) {
	return f.app.Orders.Run(context.Background(), tx, f.app.Orders.Step(e.Data.AggregateKey(), input(e), e.Cause()))
}

// mustReceive is receive when no error is expected.
func mustReceive[T event.Event](f *fixture, input func(consumer.Event[T]) app.Input, data T) {
	f.t.Helper()
	if err := receive(f, input, data); err != nil {
		f.t.Fatalf("%s: %v", data.EventType(), err)
	}
}

func delivered[T event.Event](data T) consumer.Event[T] {
	return consumer.Event[T]{
		Envelope: event.Envelope{ID: uuid.Must(uuid.NewV7()), Type: data.EventType(), CorrelationID: data.AggregateKey()},
		Data:     data,
	}
}

// row is the part of an outbox row that this service decides.
type row struct {
	Topic, Type string
	Version     int64
}

// outbox lists an order's outbox rows in the order of publication.
func (f *fixture) outbox(id string) []row {
	f.t.Helper()
	rows, err := f.pool.Query(context.Background(), `
		SELECT topic, event_type, ce_aggregateversion FROM outbox
		WHERE aggregate_id = $1 AND key = convert_to($1, 'UTF8') ORDER BY seq`, id)
	if err != nil {
		f.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		f.t.Fatal(err)
	}
	return got
}

// published is outbox without the snapshots.
func (f *fixture) published(id string) []string {
	f.t.Helper()
	var names []string
	for _, r := range f.outbox(id) {
		if r.Topic == events.TopicOrderEvents {
			names = append(names, fmt.Sprintf("%s@%d", r.Type, r.Version))
		}
	}
	return names
}

func (f *fixture) count(query string, args ...any) int {
	f.t.Helper()
	var n int
	if err := f.pool.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

func newOutbox(codec *schema.Codec) *outbox.Outbox {
	return outbox.New(outbox.Config{Source: "/eventshop/order", Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode})
}
