// Package app holds the use cases of the shipping service. There is one file per event and per
// command that the service reacts to, which turns it into the input of a shipment, and one for the
// worker that follows the tracking feed. shipment.go decides, style.go decides about records that
// contradict the style of the saga, and tables.go loads and saves sets of shipments. Package reaction defines the order of these steps.
//
// Calls to the carrier are made before the transaction, based on the row at that time. Inside the
// transaction the row is locked and the decision is made again. The two decisions can differ when
// another process changed the row first. If the second one needs an answer that was not requested,
// the reaction fails with errs.Transient and is tried again. So no row lock is held during a call
// to the carrier.
package app

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/shipping/internal/carrier"
	"eventshop.example/services/shipping/internal/db"
)

// Config configures an App.
type Config struct {
	Pool       *pgxpool.Pool
	Reads      *pgxpool.Pool // reads for requests use this pool; nil: Pool
	Outbox     *outbox.Outbox
	Carrier    *carrier.Client
	Log        *slog.Logger          // nil: slog.Default
	Now        func() time.Time      // nil: time.Now
	Registerer prometheus.Registerer // nil: metrics are counted but not exported
}

// App holds the use cases. The service creates one App; HTTP, the consumer and the tracking worker
// use it concurrently.
type App struct {
	// Shipments applies the inputs from events and from the tracking feed to shipments.
	Shipments *reaction.Model[db.Shipment, Input]

	pool    *pgxpool.Pool
	reads   *pgxpool.Pool
	outbox  *outbox.Outbox
	carrier *carrier.Client
	log     *slog.Logger
	now     func() time.Time // UTC, with the precision of events and tables
	metrics metrics
}

// New returns an App.
func New(cfg Config) *App {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &App{
		pool:    cfg.Pool,
		reads:   cmp.Or(cfg.Reads, cfg.Pool),
		outbox:  cfg.Outbox,
		carrier: cfg.Carrier,
		log:     cfg.Log,
		now:     func() time.Time { return cfg.Now().UTC().Truncate(time.Microsecond) },
		metrics: newMetrics(cfg.Registerer),
	}
	a.Shipments = &reaction.Model[db.Shipment, Input]{Load: load, Look: look, Decide: a.decide, Outbox: cfg.Outbox, Now: a.now}
	return a
}

// Key returns the idempotency key of an order's parcel at the carrier. An order has one parcel, so
// every request about it uses this key.
func Key(orderID string) string { return "shipment-" + orderID }
