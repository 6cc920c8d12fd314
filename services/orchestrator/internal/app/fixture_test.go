package app_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
	"eventshop.example/pkg/telemetry"
	service "eventshop.example/services/orchestrator"
	"eventshop.example/services/orchestrator/internal/app"
	"eventshop.example/services/orchestrator/internal/db"
	"eventshop.example/services/orchestrator/orchestrator"
)

// fixture holds the orchestrator's use cases on the test's own database.
type fixture struct {
	t     *testing.T
	pool  *pgxpool.Pool // with the service's role
	db    *pgtest.Separate
	app   *app.App
	codec *schema.Codec
	clock atomic.Int64 // seconds since start
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newFixture(t *testing.T) *fixture {
	t.Helper()
	t.Parallel()
	return serialFixture(t)
}

// serialFixture is newFixture for tests that do not run in parallel with others.
func serialFixture(t *testing.T) *fixture {
	t.Helper()
	db := pgtest.NewSeparate(t, service.Components()...)
	db.Migrate(t)
	f := &fixture{t: t, pool: db.App(t), db: db, codec: schematest.Start(t).Codec(events.Catalogue())}
	f.must(f.codec.Register(t.Context(), events.Catalogue().Types()...))
	f.app = f.process(app.Config{Begin: 1})
	return f
}

// process returns another process of the service, on the same database. It begins sagas under the newest
// definition unless cfg says otherwise.
func (f *fixture) process(cfg app.Config) *app.App {
	cfg.Pool = f.pool
	cfg.Outbox = outbox.New(outbox.Config{Source: "/eventshop/orchestrator", Types: f.codec.Types(), Encode: f.codec.Encode, CanEncode: f.codec.CanEncode})
	cfg.Now = func() time.Time { return start.Add(time.Duration(f.clock.Load()) * time.Second) }
	return app.New(cfg)
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// begins has f.app be a process that begins new sagas under a definition.
func (f *fixture) begins(definition orchestrator.Definition) {
	f.app = f.process(app.Config{Begin: definition.Version})
}

// react applies deliveries as one set in one transaction, as the consumer does.
func (f *fixture) react(ds ...delivery) error { return f.reactAt(f.app, ds...) }

func (f *fixture) reactAt(a *app.App, ds ...delivery) error {
	steps := make([]reaction.Step[app.Input], len(ds))
	for i, d := range ds {
		steps[i] = a.Sagas.Step(d.order, d.input, d.cause)
	}
	var decisions []reaction.Decision[app.Saga]
	err := postgres.InPipeline(f.t.Context(), f.pool, func(tx pgx.Tx) (err error) {
		decisions, err = a.Sagas.Run(f.t.Context(), tx, steps...)
		return err
	})
	if err == nil {
		reaction.Committed(f.t.Context(), decisions...)
	}
	return err
}

// play applies inputs to an order's saga, each in a transaction of its own. The first is OrderCreated.
func (f *fixture) play(order string, inputs ...orchestrator.Input) {
	f.t.Helper()
	for _, in := range inputs {
		f.take(order, in)
	}
}

// take applies one input: an event with its usual data, a time limit, or an operator's retry.
func (f *fixture) take(order string, in orchestrator.Input) {
	f.t.Helper()
	switch in {
	case orchestrator.DuePassed:
		f.clock.Add(60)
		_, err := f.app.PassDue(f.t.Context())
		f.must(err)
	case orchestrator.Retry:
		f.must(f.retry(order))
	default:
		f.must(f.react(usual(order, in)))
	}
}

func (f *fixture) retry(order string) error {
	var committed func()
	err := postgres.InTx(f.t.Context(), f.pool, func(tx pgx.Tx) error {
		report, err := f.app.RetrySaga(f.t.Context(), tx, order)
		committed = func() { report(f.t.Context()) }
		return err
	})
	if err == nil {
		committed()
	}
	return err
}

// saga returns an order's saga and its log.
func (f *fixture) saga(order string) (db.Saga, []db.SagaLog) {
	f.t.Helper()
	row, log, err := f.app.GetSaga(f.t.Context(), f.pool, order)
	f.must(err)
	return row, log
}

// command is a row of the outbox, decoded.
type command struct {
	event    event.Event
	id       uuid.UUID
	version  int64
	envelope map[string]string // columns
}

// commands returns an order's commands in the order in which they are sent.
func (f *fixture) commands(order string) []command {
	f.t.Helper()
	rows, err := f.pool.Query(f.t.Context(), `SELECT id, event_type, payload, ce_aggregateversion, topic, aggregate_type, ce_causationid,
		ce_correlationid, ce_sagastyle, traceparent FROM outbox WHERE aggregate_id = $1 ORDER BY seq`, order)
	f.must(err)
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c command, err error) {
		var name, topic, kind, cause, correlation, style, trace string
		var payload []byte
		if err := row.Scan(&c.id, &name, &payload, &c.version, &topic, &kind, &cause, &correlation, &style, &trace); err != nil {
			return c, err
		}
		c.envelope = map[string]string{"topic": topic, "type": kind, "cause": cause, "correlation": correlation, "style": style, "trace": telemetry.TraceID(trace)}
		typ, ok := f.codec.Types().Lookup(name)
		if !ok {
			return c, fmt.Errorf("no type %s", name)
		}
		c.event, err = f.codec.Decode(f.t.Context(), typ, payload)
		return c, err
	})
	f.must(err)
	return out
}

// sent returns the names of an order's commands, with a space between.
func (f *fixture) sent(order string) string {
	f.t.Helper()
	var names []string
	for _, c := range f.commands(order) {
		names = append(names, c.event.EventType())
	}
	return strings.Join(names, " ")
}

// everything returns every row of every table that the reactions write, sorted.
func (f *fixture) everything() []string {
	f.t.Helper()
	var all []string
	for _, table := range []string{"sagas", "saga_log", "outbox"} {
		rows, err := f.pool.Query(f.t.Context(), fmt.Sprintf("SELECT '%[1]s ' || to_jsonb(t)::text FROM %[1]s t ORDER BY 1", table))
		f.must(err)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		f.must(err)
		all = append(all, found...)
	}
	return all
}

// step is a step of the sagas' model.
type step = reaction.Step[app.Input]

// failing returns an encoder that fails.
func failing(err error) func(context.Context, event.Event) ([]byte, error) {
	return func(context.Context, event.Event) ([]byte, error) { return nil, err }
}

func newOrder() string { return uuid.Must(uuid.NewV7()).String() }
