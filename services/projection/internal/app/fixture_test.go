package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
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
	kit "eventshop.example/pkg/reaction"
	"eventshop.example/services/projection"
	"eventshop.example/services/projection/internal/app"
)

// start is the time of a test's first event. It is shortly before midnight UTC, so that a saga of
// some minutes continues on the next day.
var start = time.Date(2026, 11, 24, 23, 58, 0, 0, time.UTC)

// fixture holds the read models on the test's own database.
type fixture struct {
	t    *testing.T
	pool *pgxpool.Pool // with the service's role
	db   *pgtest.Separate
	app  *app.App
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	t.Parallel()
	db := pgtest.NewSeparate(t, projection.Components()...)
	db.Migrate(t)
	pool := db.App(t)
	return &fixture{t: t, pool: pool, app: app.New(pool), db: db}
}

// delivery is a published event with its fact for the read models.
type delivery struct {
	topic, name, order string
	id                 uuid.UUID
	fact               app.Fact
}

// reaction is the signature of all reactions.
type reaction[T event.Event] func(consumer.Event[T]) app.Fact

// deliveryOf creates an event of the given aggregate version.
func deliveryOf[T event.Event](handle reaction[T], version int64, data T) delivery {
	typ := events.TypeOf[T]()
	e := consumer.Event[T]{Data: data, Topic: typ.Topic}
	e.ID, e.Type, e.AggregateVersion = uuid.Must(uuid.NewV7()), typ.Name, version
	return delivery{topic: typ.Topic, name: typ.Name, order: data.AggregateKey(), id: e.ID, fact: handle(e)}
}

// receive handles events, each in its own transaction.
func (f *fixture) receive(evs ...delivery) {
	f.t.Helper()
	for _, e := range evs {
		var decisions []kit.Decision[app.Order]
		err := postgres.InTx(f.t.Context(), f.pool, func(tx pgx.Tx) (err error) {
			decisions, err = f.decide(f.t.Context(), tx, e)
			return err
		})
		if err != nil {
			f.t.Fatalf("%s: %v", e.name, err)
		}
		kit.Committed(f.t.Context(), decisions...)
	}
}

// react applies events to the read models as one set.
func (f *fixture) react(ctx context.Context, tx pgx.Tx, evs ...delivery) error {
	_, err := f.decide(ctx, tx, evs...)
	return err
}

// decide is react with the decisions.
func (f *fixture) decide(ctx context.Context, tx pgx.Tx, evs ...delivery) ([]kit.Decision[app.Order], error) {
	steps := make([]kit.Step[app.Fact], len(evs))
	for i, e := range evs {
		steps[i] = f.app.ReadModels.Step(e.order, e.fact, outbox.Cause{})
	}
	return f.app.ReadModels.Run(ctx, tx, steps...)
}

// row returns an order's row as "STATUS tracking reason attention updated". "-" stands for a
// missing value, and updated is in seconds since start.
func (f *fixture) row(id string) string {
	f.t.Helper()
	var status *string
	var tracking, reason string
	var attention bool
	var updated time.Time
	err := f.pool.QueryRow(f.t.Context(), `SELECT status, tracking_id, cancel_reason, needs_attention, updated_at
		FROM orders WHERE order_id = $1`, id).Scan(&status, &tracking, &reason, &attention, &updated)
	if err != nil {
		f.t.Fatal(err)
	}
	s := "-"
	if status != nil {
		s = *status
	}
	return fmt.Sprintf("%s %s %s %t %v", s, dash(tracking), dash(reason), attention, updated.Sub(start))
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// lines returns the only text column of a query.
func lines(t *testing.T, q interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, sql string, args ...any) []string {
	t.Helper()
	rows, err := q.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tables lists all read models in the order of dump.
func tables() []string { return []string{"orders", "order_items", "timeline", "revenue_days"} }

// dump returns every row of every read model, sorted, one row per line.
func dump(ctx context.Context, tx pgx.Tx) (string, error) {
	var out strings.Builder
	for _, table := range tables() {
		rows, err := tx.Query(ctx, "SELECT to_jsonb(t) FROM "+table+" t ORDER BY to_jsonb(t)::text")
		if err != nil {
			return "", err
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
		if err != nil {
			return "", err
		}
		for _, row := range all {
			fmt.Fprintf(&out, "%s %s\n", table, row)
		}
	}
	return out.String(), nil
}
