// Package app holds the use cases of the payment service. There is one file per event and per
// command that the service reacts to, which turns it into the input of a payment, one for the worker
// that returns money, and one per HTTP operation. payment.go decides, attempt.go decides about attempts
// that failed, style.go about records that contradict the style of the saga, and tables.go loads and
// saves sets of payments. Package reaction defines the order of these steps.
//
// The gateway is never called inside a transaction. A charge is called before the transaction that
// records it (charge.go). A compensation works in the other order. Its transaction
// records that money has to be returned, or that a charge has to be stopped, and calls no other
// system. Then it wakes the worker ([App.ReturnMoney]), which calls the gateway and repeats the
// call if necessary. This has three advantages. A refund that fails does not delay other orders.
// Pending returns survive a crash. Once the compensation has committed, this service refuses a late
// charge without a call to the gateway.
package app

import (
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/payment/internal/gateway"
)

// Config configures an App.
type Config struct {
	Pool       *pgxpool.Pool
	Outbox     *outbox.Outbox
	Gateway    *gateway.Client
	Refunds    Refunds
	Log        *slog.Logger          // nil: slog.Default
	Now        func() time.Time      // nil: time.Now
	Registerer prometheus.Registerer // nil: metrics are counted but not exported
}

// Refunds configures the worker that returns money.
type Refunds struct {
	// MaxAttempts is the number of attempts before the refund needs a person; default 8.
	MaxAttempts int
	// BackoffBase and BackoffMax bound the wait between attempts, which doubles: min(base·2ⁿ +
	// jitter, max). Defaults 500 ms and 30 s: with 8 attempts a gateway may be unavailable for a
	// minute before a person has to look.
	BackoffBase, BackoffMax time.Duration
	// Deadline is how long a refund or void may be deferred because the circuit breaker refuses its
	// attempts. After that, a refused attempt counts like any other. Default 1 h.
	Deadline time.Duration
	// Lease is how long an attempt belongs to one process. It must exceed the longest attempt,
	// which makes four requests; default 10 s. After a crash, no process retries the attempt before
	// the lease ends.
	Lease time.Duration
	// Poll is how often the worker looks for due attempts without a wake-up; default 250 ms.
	Poll time.Duration
}

// App holds the use cases. The service creates one App; HTTP, the consumer and the worker use it
// concurrently.
type App struct {
	// Payments applies the inputs from events, from the worker's attempts and from commands to
	// payments.
	Payments *reaction.Model[Payment, Input]

	pool    *pgxpool.Pool
	outbox  *outbox.Outbox
	gateway *gateway.Client
	refunds Refunds
	log     *slog.Logger
	now     func() time.Time // UTC, with the precision of events and tables
	metrics metrics
	wake    chan struct{} // there is money to return
}

// New returns an App.
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
	a := &App{
		pool:    cfg.Pool,
		outbox:  cfg.Outbox,
		gateway: cfg.Gateway,
		refunds: cfg.Refunds,
		log:     cfg.Log,
		now:     func() time.Time { return cfg.Now().UTC().Truncate(time.Microsecond) },
		metrics: newMetrics(cfg.Registerer),
		wake:    make(chan struct{}, 1),
	}
	a.Payments = &reaction.Model[Payment, Input]{Load: load, Look: look, Decide: a.decide, Outbox: cfg.Outbox, Now: a.now}
	return a
}

// ChargeKey returns the idempotency key of an order's only charge at the gateway.
func ChargeKey(orderID string) string { return "charge-" + orderID }

// RefundKey returns the idempotency key of an order's only refund at the gateway.
func RefundKey(orderID string) string { return "refund-" + orderID }

// PaymentID returns the name of an order's only payment in events and over HTTP.
func PaymentID(orderID string) string { return "payment-" + orderID }

// wakeWorker makes the worker look for due attempts at once. It never blocks.
func (a *App) wakeWorker() {
	select {
	case a.wake <- struct{}{}:
	default: // the worker is about to look already
	}
}
