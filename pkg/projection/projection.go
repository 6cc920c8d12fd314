package projection

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Component returns the migrations of this package's tables.
func Component() postgres.Component {
	return postgres.Component{Name: "projections", FS: migrations, Grants: []postgres.Grant{
		{Table: "projection_versions", App: "SELECT, INSERT, UPDATE"},
		{Table: "projection_positions", App: "SELECT, INSERT, UPDATE, DELETE"},
		{Table: "projection_facts", App: "SELECT, INSERT, DELETE"},
		{Table: "projection_failures", App: "SELECT, INSERT, UPDATE, DELETE"},
	}}
}

// Event is an event as folds see it, with the place of its record.
type Event[F any] struct {
	Key       string // of the event's aggregate
	ID        uuid.UUID
	Topic     string
	Partition int32
	Offset    int64
	Fact      F // what the event means to the read models of the service
}

// Rows is what a set of events adds to the tables of a version.
type Rows interface {
	// Save adds the rows, with one statement per table. It adds to what the tables contain: sums are
	// added up, and a later event's value stays. Within the transaction, unqualified names of tables
	// are those of the version's schema.
	Save(ctx context.Context, tx pgx.Tx) error
}

// Comparison is a query over a version's tables, in the columns that two versions have in common.
type Comparison struct {
	Name string // the same in both versions
	// Query returns the columns key and value, both text. Keys are unique.
	Query string
}

// Version is a version of a projection.
type Version[F any] struct {
	Projection string // lower-case letters, digits and underscores
	Number     int    // from 1
	// Base means that the tables are in the schema public; see the package comment. The tables of
	// any other version are in the schema that [Schema] returns.
	Base   bool
	Tables []string // all of them, without the schema
	// Takes reports whether the version needs the event. nil: all of them.
	Takes func(f F) bool
	// Fold is pure. It returns what the events add up to, in any order. Each event is new to the
	// version. An error is that of some of the events.
	Fold func(events []Event[F]) (Rows, error)

	Comparisons []Comparison
	Differences []string // what differs from the version before on purpose, for operators
}

// Schema returns the Postgres schema of a version that is no base version.
func Schema(projection string, number int) string { return fmt.Sprintf("%s_v%d", projection, number) }

func (v Version[F]) id() id { return id{v.Projection, v.Number} }

// id names a version.
type id struct {
	projection string
	number     int
}

func (i id) String() string { return fmt.Sprintf("%s version %d", i.projection, i.number) }

// Config configures a [Set].
type Config[F any] struct {
	Group    string // the consumer group that is the reader; it stores positions
	Versions []Version[F]
	// Base returns which of the events are new to the base versions, and notes them. It is one
	// statement. nil: there are no base versions.
	Base func(ctx context.Context, tx pgx.Tx, events []Event[F]) (fresh []Event[F], err error)
	// Read returns a record as an event; see consumer.Replay, whose results it has.
	Read func(ctx context.Context, r *kgo.Record) (e Event[F], ok bool, err error)

	Brokers    []string // host:port
	KgoOpts    []kgo.Opt
	Topics     []string // all that the group reads
	Pool       *pgxpool.Pool
	Failed     *retry.Store          // of the group
	Logger     *slog.Logger          // nil: slog.Default
	Registerer prometheus.Registerer // nil: metrics are kept but not exported

	FillSet int           // most records in one transaction of a filling, default [DefaultFillSet]
	Every   time.Duration // how often fillers look for work, default 500ms
	Lease   time.Duration // how long a filler that died keeps others from going on, default 15s
}

// DefaultFillSet shares the costs of a transaction between so many records that they no longer show.
const DefaultFillSet = 5000

// Set is the projections of a service, in all their versions. [New] creates it. It is safe for
// concurrent use.
type Set[F any] struct {
	cfg      Config[F]
	log      *slog.Logger
	metrics  *metrics
	versions []Version[F] // base versions first
	refused  refusals
	*Control
}

// New checks the configuration. It does not connect.
func New[F any](cfg Config[F]) (*Set[F], error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.FillSet <= 0 {
		cfg.FillSet = DefaultFillSet
	}
	if cfg.Lease <= 0 {
		cfg.Lease = 15 * time.Second
	}
	if cfg.Every <= 0 {
		cfg.Every = 500 * time.Millisecond
	}
	s := &Set[F]{cfg: cfg, log: cfg.Logger, metrics: newMetrics(cfg.Registerer)}
	s.Control = &Control{pool: cfg.Pool, group: cfg.Group, known: map[id]declared{}, begins: s.begins}
	for _, v := range cfg.Versions {
		if _, twice := s.known[v.id()]; twice || v.Number < 1 || v.Fold == nil || len(v.Tables) == 0 {
			return nil, errs.New(errs.Invalid, "projection: %s is declared twice, or has no number, fold or tables", v.id())
		}
		if v.Base && cfg.Base == nil {
			return nil, errs.New(errs.Invalid, "projection: %s is a base version, and Base is not set", v.id())
		}
		s.known[v.id()] = declared{base: v.Base, tables: v.Tables, comparisons: v.Comparisons, differences: v.Differences}
		s.versions = append(s.versions, v)
	}
	slices.SortStableFunc(s.versions, func(a, b Version[F]) int {
		switch {
		case a.Base == b.Base:
			return 0
		case a.Base:
			return -1
		default:
			return 1
		}
	})
	return s, nil
}

// lockKey is the advisory lock that the reader's transactions share, and that a change of who feeds or
// reads a version takes alone. It ends with the transaction.
const lockKey = `hashtextextended('projections', 0)`
