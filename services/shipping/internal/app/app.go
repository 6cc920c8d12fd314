// Package app holds what shipping does: a file for each event it reacts to, and one for
// the worker that follows the parcels. All writes of one reaction, the outbox rows
// included, go through the transaction it is given.
//
// Calls to the carrier are made before the transaction, on the strength of what the row
// said then; inside it the row is locked and the decision made again. When the two
// differ, because another process was faster, the reaction fails as errs.Transient and
// comes again, rather than hold a row lock while a foreign server thinks.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/db"
	"eventshop.example/services/shipping/internal/shipping"
)

// Config is what an App works with.
type Config struct {
	Pool       *pgxpool.Pool
	Reads      *pgxpool.Pool // what requests look at is read with it; nil: Pool
	Outbox     *outbox.Outbox
	Carrier    *carrier.Client
	Log        *slog.Logger          // nil: slog.Default
	Now        func() time.Time      // nil: time.Now
	Registerer prometheus.Registerer // nil: metrics are kept but not exported
}

// App is created once by the service and used by HTTP, the consumer and the tracking
// worker at the same time.
type App struct {
	pool    *pgxpool.Pool
	reads   *pgxpool.Pool
	outbox  *outbox.Outbox
	carrier *carrier.Client
	log     *slog.Logger
	now     func() time.Time // UTC, in the precision that events and tables keep
	metrics metrics
}

// New makes an App.
func New(cfg Config) *App {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &App{
		pool:    cfg.Pool,
		reads:   cmp.Or(cfg.Reads, cfg.Pool),
		outbox:  cfg.Outbox,
		carrier: cfg.Carrier,
		log:     cfg.Log,
		now:     func() time.Time { return cfg.Now().UTC().Truncate(time.Microsecond) },
		metrics: newMetrics(cfg.Registerer),
	}
}

// Key is the idempotency key under which an order's parcel is known to the carrier. An
// order has one parcel, so everything ever asked about it carries this key.
func Key(orderID string) string { return "shipment-" + orderID }

// parcel is what OrderCreated tells about what is to be shipped and where.
type parcel struct {
	CustomerID string
	Address    carrier.Address
	Items      []carrier.Item
}

// step is one event's, or one tracking update's, effect on one order's shipment.
type step struct {
	orderID string
	input   shipping.Input
	cause   outbox.Cause

	parcel *parcel        // of OrderCreated only
	answer carrier.Answer // of the call made before the transaction; zero when none was
	reason string         // why this step cancels, when it does
	detail string
	update carrier.Update // of tracking only
}

// ask makes the call that the step needs, if it needs one, as far as the row tells now.
// Errors are the carrier's and the database's.
func (a *App) ask(ctx context.Context, s step) (carrier.Answer, error) {
	row, err := db.New(a.pool).GetShipment(ctx, s.orderID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return carrier.Answer{}, postgres.Classify(fmt.Errorf("load shipment: %w", err))
	}
	switch shipping.Decide(shipping.State(row.State), s.input).Ask {
	case shipping.AskSchedule:
		p := s.parcel
		if p == nil {
			if p, err = parcelOf(row); err != nil {
				return carrier.Answer{}, err
			}
		}
		return a.carrier.Schedule(ctx, Key(s.orderID), carrier.Request{
			OrderID: s.orderID, CustomerID: p.CustomerID, Address: p.Address, Items: p.Items,
		})
	case shipping.AskCancel:
		return a.carrier.Cancel(ctx, Key(s.orderID), s.orderID, row.CustomerID)
	}
	return carrier.Answer{}, nil
}

// react locks the order's shipment, lets the transition table decide, stores what
// follows, and appends the events that tell of it.
func (a *App) react(ctx context.Context, tx pgx.Tx, s step) error {
	q := db.New(tx)
	row, err := a.lock(ctx, q, s)
	if err != nil {
		return err
	}
	state := shipping.State(row.State)
	d, err := decide(state, s)
	if err != nil {
		return err
	}
	d = shipping.Once(d, row.DispatchedAt != nil)
	if answered(row, s) {
		d = shipping.Again(d)
	}
	a.metrics.decided(s.input, d.Action)
	a.log.InfoContext(ctx, "shipment decided", "input", s.input, "action", d.Action,
		"carrier", s.answer.Outcome, "from", state, "to", d.Next, "told", d.Emit)
	if news := s.parcel != nil && row.Address == nil; d.Next == state && !news && len(d.Emit) == 0 {
		return nil
	}
	if err := a.record(&row, s, d); err != nil {
		return err
	}
	if err := a.tell(ctx, tx, &row, s, d.Emit); err != nil {
		return err
	}
	return store(ctx, q, row)
}

// decide takes the carrier's answer into account where the table asks for it.
func decide(state shipping.State, s step) (shipping.Decision, error) {
	d := shipping.Decide(state, s.input)
	if d.Ask == shipping.AskNothing {
		return d, nil
	}
	answers := map[carrier.Outcome]shipping.Input{
		carrier.Accepted: shipping.CarrierAccepted, carrier.Refused: shipping.CarrierRefused, carrier.Stopped: shipping.CarrierStopped,
	}
	if d.Ask == shipping.AskCancel {
		answers = map[carrier.Outcome]shipping.Input{
			carrier.Cancelled: shipping.CarrierCancelled, carrier.Departed: shipping.CarrierDeparted,
		}
	}
	in, asked := answers[s.answer.Outcome]
	if !asked {
		return d, errs.New(errs.Transient, "shipment of order %s became %q after the carrier was left alone; asking it next time", s.orderID, state)
	}
	return shipping.Decide(state, in), nil
}

// lock returns the order's shipment row, locked until the transaction ends; an order
// never heard of gets one. All reactions to one order queue here, which is also what
// makes the order of outbox rows the order of versions.
func (a *App) lock(ctx context.Context, q *db.Queries, s step) (db.Shipment, error) {
	correlation := s.cause.CorrelationID
	if correlation == "" {
		correlation = s.orderID
	}
	err := q.OpenShipment(ctx, db.OpenShipmentParams{OrderID: s.orderID, CorrelationID: correlation, Now: a.now()})
	if err != nil {
		return db.Shipment{}, fmt.Errorf("open shipment: %w", err)
	}
	row, err := q.LockShipment(ctx, s.orderID)
	if err != nil {
		return db.Shipment{}, fmt.Errorf("lock shipment: %w", err)
	}
	return row, nil
}
