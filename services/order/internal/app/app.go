// Package app holds the order service's use cases: one file per thing the service
// is asked (place_order.go) and per event it reacts to (on_payment_failed.go).
//
// Every change of an order takes the same way through change: load the order,
// let it decide, and in one transaction append its domain events, publish what
// other services may know through the outbox, and keep the deadline table and the
// snapshot in step. It guarantees that these commit together or not at all, and
// that the outbox holds one order's rows in version order.
//
// Errors are of package errs' kinds: NotFound, Invalid and Conflict are answers,
// Transient means try again, Hopeless that no repetition helps.
package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/order/internal/db"
	"eventshop.example/services/order/internal/order"
)

// Config is what an App works with.
type Config struct {
	Pool   *pgxpool.Pool
	Reads  *pgxpool.Pool // what requests look at is read with it; nil: Pool
	Outbox *outbox.Outbox
	Log    *slog.Logger
	Now    func() time.Time // nil: time.Now

	SagaDeadline  time.Duration // for orders that do not bring their own
	SnapshotEvery int64         // events between two snapshots, default 10
	Registerer    prometheus.Registerer
}

// App is created once by the service and used by HTTP, the consumer and the
// deadline worker at the same time.
type App struct {
	pool    *pgxpool.Pool
	reads   *pgxpool.Pool
	outbox  *outbox.Outbox
	log     *slog.Logger
	now     func() time.Time
	queries *db.Queries
	metrics metrics

	sagaDeadline  time.Duration
	snapshotEvery int64
}

// New makes an App.
func New(cfg Config) *App {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.SagaDeadline <= 0 {
		cfg.SagaDeadline = 5 * time.Minute
	}
	if cfg.SnapshotEvery <= 0 {
		cfg.SnapshotEvery = 10
	}
	return &App{
		pool:          cfg.Pool,
		reads:         cmp.Or(cfg.Reads, cfg.Pool),
		outbox:        cfg.Outbox,
		log:           cfg.Log,
		now:           func() time.Time { return cfg.Now().UTC().Truncate(time.Microsecond) }, // as the database keeps it
		queries:       db.New(cfg.Pool),
		metrics:       newMetrics(cfg.Registerer),
		sagaDeadline:  cfg.SagaDeadline,
		snapshotEvery: cfg.SnapshotEvery,
	}
}

// load folds an order from its snapshot and the events after it. An order that
// does not exist is of kind NotFound.
func (a *App) load(ctx context.Context, q postgres.Querier, orderID string) (order.Order, error) {
	var o order.Order
	snapshot, ok, err := eventstore.LoadSnapshot(ctx, q, orderID)
	if err != nil {
		return o, err
	}
	if ok {
		if o, ok = order.FromSnapshot(snapshot.State); !ok {
			o = order.Order{} // of another program version; the events tell it all
		}
	}
	records, err := eventstore.Load(ctx, q, orderID, o.Version)
	if err != nil {
		return o, err
	}
	if o, err = fold(o, records); err != nil {
		return o, err
	}
	if o.Status == order.None {
		return o, errs.New(errs.NotFound, "there is no order %s", orderID)
	}
	return o, nil
}

func fold(o order.Order, records []eventstore.Record) (order.Order, error) {
	for _, r := range records {
		e, err := order.Decode(r.Type, r.Data)
		if err != nil {
			return o, errs.Wrap(errs.Internal, err, "fold order "+r.StreamID)
		}
		o = o.Apply(e)
	}
	return o, nil
}

// change gives an order one input inside the caller's transaction and returns
// what became of it. Conflict means that another writer was faster; the
// transaction is then spoilt and has to be rolled back to where it was before.
func (a *App) change(ctx context.Context, tx pgx.Tx, orderID string, in order.Input, cause outbox.Cause) (order.Order, order.Decision, error) {
	ctx = telemetry.With(ctx, orderID, "", cause.CorrelationID)
	before, err := a.load(ctx, tx, orderID)
	if err != nil {
		return before, order.Decision{}, err
	}
	decision := before.Decide(in)
	if len(decision.Events) > 0 && cause.CausationID != "" {
		known, err := a.decidedUpon(ctx, tx, orderID, cause.CausationID)
		if err != nil {
			return before, order.Decision{}, err
		}
		if known {
			decision = order.Decision{Outcome: order.Duplicate}
		}
	}
	after := before
	if len(decision.Events) > 0 {
		if after, err = a.commit(ctx, tx, before, decision.Events, cause); err != nil {
			return before, decision, err
		}
	}
	a.metrics.decided(in.Kind, decision.Outcome)
	a.metrics.moved(before, after, a.now())
	a.log.InfoContext(ctx, "order decided", "input", in.Kind,
		"outcome", decision.Outcome, "from", before.Status, "to", after.Status, "version", after.Version)
	return after, decision, nil
}

// decidedUpon reports whether the order's stream has what followed from the event with the
// id given. The states answer most facts that come again, after the inbox has forgotten them;
// not one that contradicted another: it raised attention, and a later state would act on it.
func (a *App) decidedUpon(ctx context.Context, tx pgx.Tx, orderID, eventID string) (bool, error) {
	records, err := eventstore.Load(ctx, tx, orderID, 0)
	if err != nil {
		return false, err
	}
	for _, r := range records {
		var m metadata
		if err := json.Unmarshal(r.Metadata, &m); err != nil {
			return false, errs.Wrap(errs.Internal, err, "decode metadata of order "+orderID)
		}
		if m.CausationID == eventID {
			return true, nil
		}
	}
	return false, nil
}

// commit writes new domain events and all that goes with them. The order of its
// statements matters when HTTP, the deadline worker and the consumer meet at one
// order:
//
//  1. The deadline row first. The worker claims that row before it appends, so
//     everybody takes the two locks in the same order and nobody deadlocks.
//  2. The event store before the outbox. Of two writers of one version the second
//     waits at the primary key and fails before it has inserted an outbox row. The
//     writer of the next version has read this one, so this one had committed:
//     its outbox rows get later sequence numbers, and the relay publishes an
//     order's rows in version order.
//  3. The saga's row, outbox and snapshot.
func (a *App) commit(ctx context.Context, tx pgx.Tx, before order.Order, news []order.Event, cause outbox.Cause) (order.Order, error) {
	after := before.Fold(news...)
	if err := a.keepDeadline(ctx, tx, before, after); err != nil {
		return before, err
	}
	records, err := encode(news, cause)
	if err != nil {
		return before, err
	}
	if _, err := eventstore.Append(ctx, tx, after.ID, before.Version, records); err != nil {
		return before, err
	}
	if err := a.keepSaga(ctx, tx, after); err != nil {
		return before, err
	}
	if err := a.outbox.Append(ctx, tx, publish(before, news, a.now(), cause)...); err != nil {
		return before, err
	}
	if before.Version/a.snapshotEvery == after.Version/a.snapshotEvery {
		return after, nil
	}
	state, err := after.Snapshot()
	if err != nil {
		return before, err
	}
	return after, eventstore.SaveSnapshot(ctx, tx, eventstore.Snapshot{StreamID: after.ID, Version: after.Version, State: state})
}

// keepDeadline holds a row for the orders that are PENDING and for no others.
func (a *App) keepDeadline(ctx context.Context, tx pgx.Tx, before, after order.Order) error {
	id, err := uuid.Parse(after.ID)
	if err != nil {
		return errs.Wrap(errs.Internal, err, "order id "+after.ID)
	}
	q := a.queries.WithTx(tx)
	switch {
	case before.Status == order.None:
		err = q.AddDeadline(ctx, db.AddDeadlineParams{OrderID: id, DueAt: after.ConfirmBy})
	case before.Status != order.Pending:
		return nil
	case after.Status == order.Pending:
		err = q.LockDeadline(ctx, id) // the row stays, the lock keeps the order of locks
	default:
		err = q.RemoveDeadline(ctx, id)
	}
	if err != nil {
		return postgres.Classify(fmt.Errorf("keep deadline of order %s: %w", after.ID, err))
	}
	return nil
}

// metadata is what is stored beside an event. CausationID is the id of the event that led to
// it, "" for a command's.
type metadata struct {
	CorrelationID string `json:"correlationId"`
	CausationID   string `json:"causationId"`
}

// encode gives the stored form of domain events; the metadata says what led to
// them.
func encode(news []order.Event, cause outbox.Cause) ([]eventstore.NewRecord, error) {
	origin, err := json.Marshal(metadata{CorrelationID: cause.CorrelationID, CausationID: cause.CausationID})
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "encode metadata")
	}
	records := make([]eventstore.NewRecord, len(news))
	for i, e := range news {
		data, err := order.Encode(e)
		if err != nil {
			return nil, err
		}
		records[i] = eventstore.NewRecord{Type: e.Name(), Data: data, Metadata: origin}
	}
	return records, nil
}
