// Package app holds the use cases of the order service. There is one file per command or query
// (such as place_order.go) and one per event that the service reacts to (such as
// on_payment_failed.go).
//
// Every reaction, every command and every deadline is a step of one model (package reaction):
// tables.go locks the orders' streams and folds them, order.go decides, and tables.go saves. In one
// transaction a step appends the domain events, updates the deadline table and the saga table, and
// publishes integration events through the outbox. These writes commit together or not at all.
// Snapshots are written behind (states.go). The outbox holds the rows of one order in version order.
//
// Errors have the kinds of package errs. NotFound, Invalid and Conflict are answers to the caller.
// Transient means that the caller should try again. Hopeless means that no repetition helps.
package app

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/order/internal/db"
	"eventshop.example/services/order/order"
)

// Config configures an App.
type Config struct {
	Pool   *pgxpool.Pool
	Reads  *pgxpool.Pool // reads for requests use this pool; nil: Pool
	Outbox *outbox.Outbox
	Log    *slog.Logger
	Now    func() time.Time // nil: time.Now

	SagaDeadline  time.Duration // for orders without a deadline of their own
	SnapshotEvery int64         // domain events between two snapshots; default 100
	PendingTarget time.Duration // how long accepted orders may wait for their confirmation before others are refused; 0: none is refused
	MaxPending    int           // most PENDING orders of this process while none is confirmed; default 200,000
	DraftTTL      time.Duration // how long a draft may stay unchanged; default 7 days
	Registerer    prometheus.Registerer

	Participants     []Participant // of the saga, this service among them
	ParticipantCheck time.Duration // how often Kafka is asked which styles they know; default 5 s
}

// App holds the use cases. The service creates one App; HTTP, the consumer and the deadline worker
// use it concurrently.
type App struct {
	// Orders applies commands, deadlines and the events of other services to orders.
	Orders *reaction.Model[Order, Input]

	pool    *pgxpool.Pool
	reads   *pgxpool.Pool
	outbox  *outbox.Outbox
	log     *slog.Logger
	now     func() time.Time
	queries *db.Queries
	metrics metrics

	states        *eventstore.States[order.Order]
	sagaDeadline  time.Duration
	admission     *admission
	draftTTL      time.Duration
	draftsChanged chan struct{} // wakes the list of drafts

	ramp         ramp
	participants []Participant
	checkEvery   time.Duration
}

// New returns an App.
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
		cfg.SnapshotEvery = 100
	}
	if cfg.MaxPending <= 0 {
		cfg.MaxPending = 200_000
	}
	if cfg.DraftTTL <= 0 {
		cfg.DraftTTL = 7 * 24 * time.Hour
	}
	if cfg.ParticipantCheck <= 0 {
		cfg.ParticipantCheck = 5 * time.Second
	}
	a := &App{
		pool:          cfg.Pool,
		reads:         cmp.Or(cfg.Reads, cfg.Pool),
		outbox:        cfg.Outbox,
		log:           cfg.Log,
		now:           func() time.Time { return cfg.Now().UTC().Truncate(time.Microsecond) }, // the precision of the database
		queries:       db.New(cfg.Pool),
		metrics:       newMetrics(cfg.Registerer),
		sagaDeadline:  cfg.SagaDeadline,
		draftTTL:      cfg.DraftTTL,
		draftsChanged: make(chan struct{}, 1),
		participants:  cfg.Participants,
		checkEvery:    cfg.ParticipantCheck,
	}
	a.states = newStates(cfg, a.log)
	a.admission = &admission{target: cfg.PendingTarget, most: cfg.MaxPending, keep: cfg.SagaDeadline,
		pending: db.New(a.reads).PendingOrders, start: func(look func()) { go look() }}
	a.Orders = &reaction.Model[Order, Input]{Load: a.load, Decide: a.decide, Outbox: cfg.Outbox, Now: a.now}
	return a
}
