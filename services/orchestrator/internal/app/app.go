// Package app holds the use cases of the orchestrator. There is one file per event that a saga reacts
// to, which turns the event into the input of the saga, one for the worker that passes time limits
// (pass_due.go), and one per HTTP operation. saga.go decides, record.go updates the row and writes the
// log, commands.go builds the commands, attention.go says what a person has to do, and tables.go loads
// and saves sets of sagas. Package reaction defines the order of these steps.
//
// A saga's row, its lines of log and its commands are written in one transaction. A crash before the
// commit leaves nothing, and the record that led to them comes again. After the commit the commands
// are in the outbox, and a relay of any process sends them. So a command is sent if and only if the log
// has it.
//
// A new saga begins under the definition that the process is set to, and each step is decided under the
// definition that the saga began under. A process that does not know the definition, because a newer
// release began the saga, lets the record wait (errs.Transient): a process of that release takes it.
package app

import (
	"cmp"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/orchestrator/orchestrator"
)

// Config configures an App.
type Config struct {
	Pool        *pgxpool.Pool
	Reads       *pgxpool.Pool // reads for requests use this pool; nil: Pool
	Outbox      *outbox.Outbox
	Definitions []orchestrator.Definition // the oldest first; nil: orchestrator.Definitions
	Begin       int                       // version of the definition that new sagas begin under, one of Definitions; 0: the newest
	Log         *slog.Logger              // nil: slog.Default
	Now         func() time.Time          // nil: time.Now
	Registerer  prometheus.Registerer     // nil: metrics are counted but not exported
}

// App holds the use cases. The service creates one App; HTTP, the consumer and the worker use it
// concurrently.
type App struct {
	// Sagas applies events, time limits, and operators' retries and acknowledgements to sagas.
	Sagas *reaction.Model[Saga, Input]

	pool        *pgxpool.Pool
	reads       *pgxpool.Pool
	definitions []orchestrator.Definition
	begin       int32 // version of the definition that new sagas begin under
	log         *slog.Logger
	now         func() time.Time // UTC, with the precision of events and tables
	metrics     metrics
}

// New returns an App.
func New(cfg Config) *App {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Definitions == nil {
		cfg.Definitions = orchestrator.Definitions()
	}
	a := &App{
		pool:        cfg.Pool,
		reads:       cmp.Or(cfg.Reads, cfg.Pool),
		definitions: cfg.Definitions,
		begin:       int32(cmp.Or(cfg.Begin, cfg.Definitions[len(cfg.Definitions)-1].Version)),
		log:         cfg.Log,
		now:         func() time.Time { return cfg.Now().UTC().Truncate(time.Microsecond) },
		metrics:     newMetrics(cfg.Registerer),
	}
	a.Sagas = &reaction.Model[Saga, Input]{Load: a.load, Decide: a.decide, Outbox: cfg.Outbox, Now: a.now}
	return a
}

// definition returns the definition with a version. The error has kind Transient when this program does
// not know it.
func (a *App) definition(version int32) (orchestrator.Definition, error) {
	i := slices.IndexFunc(a.definitions, func(d orchestrator.Definition) bool { return d.Version == int(version) })
	if i < 0 {
		return orchestrator.Definition{}, errs.New(errs.Transient,
			"the saga follows definition %d, which this release does not know: it waits for a process of a newer release", version)
	}
	return a.definitions[i], nil
}

// notFound is the answer to a request about an order without a saga.
func notFound(orderID string) error {
	return errs.New(errs.NotFound, "there is no saga of order %s", orderID)
}
