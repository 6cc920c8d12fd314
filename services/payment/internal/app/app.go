// Package app holds what payment does: a file for each event it reacts to, one for the
// worker that gives money back, and one for each thing it is asked over HTTP.
//
// Every change takes the same way through change: lock the order's row, let the
// transition table decide, store what follows, and append the events that tell of it,
// all in the caller's transaction.
//
// The gateway is never called inside a transaction. A charge is called before the one
// that records it (ChargeOnOrderCreated). The way back is the other way round: a
// compensation records in its transaction that money has to go back, or has to be
// stopped, and calls nobody; the worker (ReturnMoney) is woken and does it, again and
// again where necessary. So one refund that does not go through keeps no other order
// waiting, what is to be done survives a crash, and from the moment the compensation has
// committed a late charge is refused here already, before the gateway is asked.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/services/payment/internal/db"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/payment"
)

// Config is what an App works with.
type Config struct {
	Pool       *pgxpool.Pool
	Outbox     *outbox.Outbox
	Gateway    *gateway.Client
	Refunds    Refunds
	Log        *slog.Logger          // nil: slog.Default
	Now        func() time.Time      // nil: time.Now
	Registerer prometheus.Registerer // nil: metrics are kept but not exported
}

// Refunds says how hard the worker tries to give money back.
type Refunds struct {
	// MaxAttempts is how many attempts a refund has before a person is asked; default 8.
	MaxAttempts int
	// BackoffBase and BackoffMax bound the wait between attempts, which doubles:
	// min(base·2ⁿ + jitter, max). Defaults 500 ms and 30 s: with 8 attempts a gateway may
	// be away for a minute before anybody is disturbed.
	BackoffBase, BackoffMax time.Duration
	// Deadline is how long a refund or void may be deferred because the circuit breaker
	// refuses its attempts; after that a refused attempt counts like one that was made.
	// Default 1 h.
	Deadline time.Duration
	// Lease is how long an attempt belongs to one process. It must exceed the longest
	// attempt, four requests; default 10 s. After a crash that long nobody tries.
	Lease time.Duration
	// Poll is how often due attempts are looked for when nobody wakes the worker;
	// default 250 ms.
	Poll time.Duration
}

// App is created once by the service and used by HTTP, the consumer and the worker at
// the same time.
type App struct {
	pool    *pgxpool.Pool
	outbox  *outbox.Outbox
	gateway *gateway.Client
	refunds Refunds
	log     *slog.Logger
	now     func() time.Time // UTC, in the precision that events and tables keep
	metrics metrics
	wake    chan struct{} // there is, or is about to be, money to give back
}

// New makes an App.
func New(cfg Config) *App {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &cfg.Refunds
	if r.MaxAttempts <= 0 {
		r.MaxAttempts = 8
	}
	for setting, standard := range map[*time.Duration]time.Duration{
		&r.BackoffBase: 500 * time.Millisecond,
		&r.BackoffMax:  30 * time.Second,
		&r.Deadline:    time.Hour,
		&r.Lease:       10 * time.Second,
		&r.Poll:        250 * time.Millisecond,
	} {
		if *setting <= 0 {
			*setting = standard
		}
	}
	return &App{
		pool:    cfg.Pool,
		outbox:  cfg.Outbox,
		gateway: cfg.Gateway,
		refunds: cfg.Refunds,
		log:     cfg.Log,
		now:     func() time.Time { return cfg.Now().UTC().Truncate(time.Microsecond) },
		metrics: newMetrics(cfg.Registerer),
		wake:    make(chan struct{}, 1),
	}
}

// ChargeKey is the idempotency key of an order's one charge at the gateway.
func ChargeKey(orderID string) string { return "charge-" + orderID }

// RefundKey is the idempotency key of an order's one refund at the gateway.
func RefundKey(orderID string) string { return "refund-" + orderID }

// PaymentID names an order's one payment in events and over HTTP.
func PaymentID(orderID string) string { return "payment-" + orderID }

// step is one event's, attempt's or command's effect on one order's payment.
type step struct {
	orderID string
	inputs  []payment.Input // taken in turn, by one row lock
	cause   outbox.Cause    // empty: the row's, of the event that last moved it

	due     *due             // of OrderCreated only
	answers []gateway.Answer // what the gateway said
	reason  string           // why this step compensates, when it does
	failure string           // why the attempt brought nothing, when it did not
	refused time.Duration    // the breaker let the failed call not through, and asks for this wait
}

// due is what OrderCreated tells about what is to be paid.
type due struct {
	customerID string
	amount     int64 // minor units
	currency   string
}

// open returns the order's row, locked until the transaction ends; an order never heard
// of gets one. All that happens to one order queues here, which is also what makes the
// order of outbox rows the order of versions.
func (a *App) open(ctx context.Context, tx pgx.Tx, s step) (db.Payment, error) {
	correlation := s.cause.CorrelationID
	if correlation == "" {
		correlation = s.orderID
	}
	q := db.New(tx)
	err := q.OpenPayment(ctx, db.OpenPaymentParams{OrderID: s.orderID, CorrelationID: correlation, Now: a.now()})
	if err != nil {
		return db.Payment{}, postgres.Classify(fmt.Errorf("open payment: %w", err))
	}
	return a.lock(ctx, tx, s.orderID)
}

// lock returns the row of an order that has one. The error of one that has none is
// pgx.ErrNoRows.
func (a *App) lock(ctx context.Context, tx pgx.Tx, orderID string) (db.Payment, error) {
	row, err := db.New(tx).LockPayment(ctx, orderID)
	if err != nil {
		return row, postgres.Classify(fmt.Errorf("lock payment: %w", err))
	}
	return row, nil
}

// change lets the locked row take the step's inputs in turn and writes what follows. It
// returns the last decision.
func (a *App) change(ctx context.Context, tx pgx.Tx, row *db.Payment, s step) (payment.Decision, error) {
	now, before := a.now(), *row
	learn(row, s)
	var d payment.Decision
	var facts []payment.Fact
	for _, in := range s.inputs {
		state := payment.State(row.State)
		d = payment.Decide(state, in)
		a.metrics.decided(in, d.Action)
		a.log.InfoContext(ctx, "payment decided", "input", in, "action", d.Action,
			"from", state, "to", d.Next, "told", d.Emit)
		if a.move(row, s, in, d, now) {
			if err := a.remember(ctx, tx, *row, s, in, d, now); err != nil {
				return d, err
			}
		}
		facts = append(facts, d.Emit...)
	}
	if err := a.tell(ctx, tx, row, s.cause, facts); err != nil {
		return d, err
	}
	// A fact that comes again leaves no trace. An attempt that failed has changed the row
	// before this.
	if *row != before || s.failure != "" {
		row.UpdatedAt = now
		if err := store(ctx, tx, *row); err != nil {
			return d, err
		}
	}
	if s.failure == "" && payment.State(row.State).Returning() {
		a.wakeWorker()
	}
	return d, nil
}

// react is what the reactions to events share.
func (a *App) react(ctx context.Context, tx pgx.Tx, s step) error {
	row, err := a.open(ctx, tx, s)
	if err != nil {
		return err
	}
	_, err = a.change(ctx, tx, &row, s)
	return err
}

func (a *App) stateOf(ctx context.Context, orderID string) (payment.State, error) {
	row, err := db.New(a.pool).GetPayment(ctx, orderID)
	if errors.Is(err, pgx.ErrNoRows) {
		return payment.None, nil
	}
	if err != nil {
		return "", postgres.Classify(fmt.Errorf("load payment: %w", err))
	}
	return payment.State(row.State), nil
}

// wakeWorker may be called inside a transaction: the worker looks several times.
func (a *App) wakeWorker() {
	select {
	case a.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}
