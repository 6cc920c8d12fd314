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
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/projection"
	"eventshop.example/services/projection/internal/app"
)

// start is when the first event of a test occurs: shortly before midnight UTC, so
// that a saga of some minutes runs over into the next day.
var start = time.Date(2026, 11, 24, 23, 58, 0, 0, time.UTC)

// models is the read models on a database of the test's own.
type models struct {
	t    *testing.T
	pool *pgxpool.Pool // of the service's role
	db   *pgtest.Separate
	app  *app.App
}

func newModels(t *testing.T) *models {
	t.Helper()
	t.Parallel()
	db := pgtest.NewSeparate(t, projection.Components()...)
	db.Migrate(t)
	pool := db.App(t)
	return &models{t: t, pool: pool, app: app.New(pool), db: db}
}

// said is an event somebody has published, with the reaction to it.
type said struct {
	topic, name, order string
	id                 uuid.UUID
	react              func(ctx context.Context, tx pgx.Tx) error
}

// reaction is the signature all of App's reactions have.
type reaction[T events.Event] func(context.Context, pgx.Tx, consumer.Event[T]) error

// says makes an event of the given aggregate version.
func says[T events.Event](handle reaction[T], version int64, data T) said {
	typ := events.TypeOf[T]()
	e := consumer.Event[T]{Data: data, Topic: typ.Topic}
	e.ID, e.Type, e.AggregateVersion = uuid.Must(uuid.NewV7()), typ.Name, version
	return said{
		topic: typ.Topic, name: typ.Name, order: data.AggregateKey(), id: e.ID,
		react: func(ctx context.Context, tx pgx.Tx) error { return handle(ctx, tx, e) },
	}
}

// hear handles events, each in a transaction of its own.
func (m *models) hear(evs ...said) {
	m.t.Helper()
	for _, e := range evs {
		err := postgres.InTx(m.t.Context(), m.pool, func(tx pgx.Tx) error { return e.react(m.t.Context(), tx) })
		if err != nil {
			m.t.Fatalf("%s: %v", e.name, err)
		}
	}
}

// row is an order's row as "STATUS tracking reason attention updated", with "-"
// for what is absent and the seconds since start for updated.
func (m *models) row(id string) string {
	m.t.Helper()
	var status *string
	var tracking, reason string
	var attention bool
	var updated time.Time
	err := m.pool.QueryRow(m.t.Context(), `SELECT status, tracking_id, cancel_reason, needs_attention, updated_at
		FROM orders WHERE order_id = $1`, id).Scan(&status, &tracking, &reason, &attention, &updated)
	if err != nil {
		m.t.Fatal(err)
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

// lines gives a query's single text column.
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

// tables are all read models, in the order dump shows them.
func tables() []string { return []string{"orders", "order_items", "timeline", "revenue_days"} }

// dump is every row of every read model, sorted, one line a row.
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
