package relay

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/capture"
)

// Config configures a relay. A zero field other than Brokers gets its default.
type Config struct {
	Brokers    []string              // seed brokers, host:port
	Logger     *slog.Logger          // slog.Default
	Registerer prometheus.Registerer // nil: metrics are kept but not exposed

	Lease            time.Duration // 3 s: how long a dead relay's shards wait for another one
	PollEvery        time.Duration // 250 ms: finds what other processes appended
	DrainTimeout     time.Duration // 5 s: how long a graceful stop waits for the broker
	BatchSize        int           // 1000 rows per read
	MaxInFlight      int           // 4000 rows in memory
	MaxInFlightBytes int           // 16 MiB of payloads in memory, exceeded by at most one row

	KgoOpts []kgo.Opt // further options: TLS, SASL, dialers
}

func (c Config) withDefaults() Config {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.Lease = cmp.Or(c.Lease, 3*time.Second)
	c.PollEvery = cmp.Or(c.PollEvery, 250*time.Millisecond)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 5*time.Second)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 4000)
	c.MaxInFlightBytes = cmp.Or(c.MaxInFlightBytes, 16<<20)
	c.BatchSize = min(cmp.Or(c.BatchSize, 1000), c.MaxInFlight)
	return c
}

// Relay publishes the rows of one database's outbox table. The relays of a service's replicas share
// the table's shards. Each leads its fair share; a single relay leads all shards.
//
// It has six loops. The first reads and sends, the second marks acknowledged rows, the third renews
// the leases, the fourth computes where reads begin, and the fifth measures the backlog. The sixth
// marks what Debezium has sent, see [capture.Confirmer]. From commit to broker an event takes one
// query and one produce request; marks and leases do not delay it.
type Relay struct {
	cfg       Config
	wake      <-chan struct{} // see outbox.Outbox.Wakes
	table     *table
	flight    *flight
	producers *producers
	confirmer *capture.Confirmer
	metrics   *metrics
	bounding  bounding

	// State that Ready reports.
	troubles troubles
	hold     holdState
	backlog  backlog

	seams
}

// seams are replaced by tests to control time and to stop a relay at a known point.
type seams struct {
	clock        func() time.Time
	measureEvery time.Duration
	boundTick    time.Duration
	boundAfter   int64
	slow         time.Duration // how long a record may be at the producer before Ready reports it
	at           func(point)   // does nothing outside of tests
}

// point is a place in the code where a test can freeze the process.
type point string

const (
	beforeClaim  point = "claim"  // before the claim of the leases
	beforeRead   point = "read"   // after the view of what is in flight
	beforeAdmit  point = "admit"  // after a read
	beforeMark   point = "mark"   // with acknowledged rows
	afterReplied point = "answer" // after the broker's reply to a record
)

// New returns a relay for the outbox table in pool, woken by o. It does nothing until Run.
func New(pool *pgxpool.Pool, o *outbox.Outbox, cfg Config) *Relay {
	cfg = cfg.withDefaults()
	r := &Relay{
		cfg:       cfg,
		wake:      o.Wakes(),
		table:     newTable(pool, cfg.Lease),
		flight:    newFlight(),
		producers: newProducers(cfg),
		metrics:   newMetrics(cfg.Registerer),
		seams: seams{
			clock:        time.Now,
			measureEvery: measureEvery,
			boundTick:    boundTick,
			boundAfter:   boundAfter,
			// Far above what a healthy broker needs, even while a partition elects a new leader.
			slow: 5 * time.Second,
			at:   func(point) {},
		},
	}
	r.confirmer = capture.NewConfirmer(pool, capture.Config{
		Shards: r.flight.ledShards, Failures: r.metrics.errors.WithLabelValues("confirm"),
		Logger: cfg.Logger, Registerer: cfg.Registerer,
	})
	return r
}

// Run publishes until ctx is done. Then it waits up to DrainTimeout for the records at the
// producer, hands its shards back, and returns nil. It returns an error only for options with which
// no Kafka client can be created. It retries whatever the database and the broker refuse, and Ready
// reports the refusal. It must be called only once.
func (r *Relay) Run(ctx context.Context) error {
	for _, p := range r.producers.all() {
		if err := r.producers.open(p); err != nil {
			return fmt.Errorf("create the outbox relay's Kafka clients: %w", err)
		}
		defer p.close()
	}
	// Marks and leases continue while the drain waits for the broker.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var loops sync.WaitGroup
	loops.Go(func() { r.leaseLoop(background) })
	loops.Go(func() { r.markLoop(background) })
	loops.Go(func() { r.boundLoop(ctx) })
	loops.Go(func() { r.measureLoop(ctx) })
	loops.Go(func() { r.confirmer.Run(ctx) })

	r.readLoop(ctx)
	r.drain()
	stop()
	loops.Wait()
	if err := r.table.release(context.WithoutCancel(ctx)); err != nil {
		r.cfg.Logger.Warn("outbox leases were not released and will run out", "error", err, "after", r.cfg.Lease.String())
	}
	r.metrics.leased.Set(0)
	return nil
}

// drain waits until the producer is empty and every acknowledged row is marked. The next leader
// publishes the remaining rows again.
func (r *Relay) drain() {
	r.flight.abandon(func(int16) bool { return true })
	timeout := time.NewTimer(r.cfg.DrainTimeout)
	defer timeout.Stop()
	for {
		rows, sent, acked, _ := r.flight.counts()
		if rows == 0 {
			return
		}
		select {
		case <-r.flight.room:
		case <-timeout.C:
			r.cfg.Logger.Warn("outbox relay stops with rows in flight; they will be published again",
				"unacknowledged", sent, "unmarked", acked)
			return
		}
	}
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
