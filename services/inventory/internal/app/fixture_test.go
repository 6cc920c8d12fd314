package app_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/inventory"
	"eventshop.example/services/inventory/internal/app"
)

// fixture holds inventory's use cases on the test's own database.
type fixture struct {
	t    *testing.T
	pool *pgxpool.Pool // with the service's role
	db   *pgtest.Separate
	app  *app.App

	codec *schema.Codec
}

func newFixture(t *testing.T, stock map[string]int64) *fixture {
	t.Helper()
	t.Parallel()
	db := pgtest.NewSeparate(t, inventory.Components()...)
	db.Migrate(t)
	f := &fixture{t: t, pool: db.App(t), db: db}
	codec := schematest.Start(t).Codec(events.Catalogue())
	if err := codec.Register(t.Context(), events.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	f.codec = codec
	f.app = app.New(app.Config{Pool: f.pool, Outbox: outbox.New(outbox.Config{Source: "/eventshop/inventory", Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode})})
	if err := f.app.Seed(t.Context(), stock); err != nil {
		t.Fatal(err)
	}
	return f
}

// receive runs one reaction in its own transaction, to a record of a choreographed order.
func receive[T event.Event](f *fixture, input func(consumer.Event[T]) app.Input, data T) error {
	return f.take(stepOf(f, event.Choreographed, input, data))
}

// receiveOf does the same for a record with a style.
func receiveOf[T event.Event](f *fixture, style event.Style, input func(consumer.Event[T]) app.Input, data T) error {
	return f.take(stepOf(f, style, input, data))
}

// stepOf returns the step of a record with a style.
func stepOf[T event.Event](f *fixture, style event.Style, input func(consumer.Event[T]) app.Input, data T) reaction.Step[app.Input] {
	e := consumer.Event[T]{Data: data}
	e.ID, e.CorrelationID, e.Style = uuid.Must(uuid.NewV7()), data.AggregateKey(), style
	return f.app.Reservations.Step(data.AggregateKey(), input(e), e.Cause())
}

// take runs a set of steps in one transaction, as the consumer does.
func (f *fixture) take(steps ...reaction.Step[app.Input]) error {
	var decisions []reaction.Decision[app.Reservation]
	err := postgres.InTx(f.t.Context(), f.pool, func(tx pgx.Tx) (err error) {
		decisions, err = f.app.Reservations.Run(f.t.Context(), tx, steps...)
		return err
	})
	if err == nil {
		for i, d := range decisions {
			reaction.Committed(telemetry.With(f.t.Context(), steps[i].Key, "", steps[i].Cause.CorrelationID), d)
		}
	}
	return err
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func created(id string, items ...events.OrderItem) events.OrderCreated {
	return events.OrderCreated{OrderID: id, Currency: "GBP", Items: items, ConfirmBy: time.Now(), OccurredAt: time.Now()}
}

func paid(id string) events.PaymentCompleted {
	return events.PaymentCompleted{OrderID: id, Currency: "GBP", OccurredAt: time.Now()}
}

// emitted lists type and version of an order's events in the outbox.
func (f *fixture) emitted(id string) []string {
	f.t.Helper()
	rows, err := f.pool.Query(f.t.Context(), `SELECT event_type || ' ' || ce_aggregateversion FROM outbox WHERE aggregate_id = $1 ORDER BY seq`, id)
	f.must(err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	f.must(err)
	return out
}

// counts returns the pieces of a SKU as "available/reserved/shipped".
func (f *fixture) counts(sku string) string {
	f.t.Helper()
	row, err := f.app.Stock(f.t.Context(), sku)
	f.must(err)
	return fmt.Sprintf("%d/%d/%d", row.Available, row.Reserved, row.Shipped)
}
