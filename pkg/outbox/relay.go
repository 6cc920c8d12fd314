package outbox

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// RelayConfig configures a relay. The zero value of each field but Brokers is
// replaced by its default.
type RelayConfig struct {
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

func (c RelayConfig) withDefaults() RelayConfig {
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.Lease = cmp.Or(c.Lease, 3*time.Second)
	c.PollEvery = cmp.Or(c.PollEvery, 250*time.Millisecond)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 5*time.Second)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 4000)
	c.MaxInFlightBytes = cmp.Or(c.MaxInFlightBytes, 16<<20)
	c.BatchSize = min(cmp.Or(c.BatchSize, 1000), c.MaxInFlight)
	return c
}

// Relay publishes the rows of one database's outbox table. Several relays, of
// replicas of a service, share the table's four shards; each aims for its fair
// share, and one that is alone leads them all.
//
// It has three loops: one reads and sends, one marks what was acknowledged, one
// renews the leases; and in mode debezium one marks what Debezium has sent. An order's
// way from commit to broker is one query and one produce request; marks and leases are
// beside that way.
type Relay struct {
	id      uuid.UUID // of this run; never reused, so that a successor is somebody else
	pool    *pgxpool.Pool
	out     *Outbox
	cfg     RelayConfig
	metrics *metrics
	flight  *flight
	company producer        // of the many records that share batches
	alone   producer        // of those that must not
	lone    lone            // what waits for alone
	suspect atomic.Bool     // a client may refuse everything by itself, see replaceRefused
	answers answers         // the clients' log
	readOf  map[string]bool // topics of the rows read so far; the read loop's
	mode    atomic.Pointer[Mode]

	mu       sync.Mutex
	troubles map[string]error // by what fails now: read, mark, lease

	heldFor   string // why an operator lets no relay publish; empty: they may
	heldSince time.Time

	recreated map[string]bool // topics that need new clients, see followRecreated
	released  bool            // a hold has ended; the topics of readOf may be others too

	capture error // why Debezium does not relay, in mode debezium

	waiting map[string]int64 // unpublished rows by topic, as of the last measurement

	clock        func() time.Time
	measureEvery time.Duration // a test's is shorter
	slow         time.Duration // how long a record may be at the producer before that is a trouble
	at           func(point)   // tests stop the relay there; does nothing else
}

// point is a place in the code where a process may be frozen.
type point string

const (
	beforeClaim  point = "claim"  // of the leases
	beforeRead   point = "read"   // having looked at what is in flight
	beforeAdmit  point = "admit"  // with rows in hand
	beforeMark   point = "mark"   // with acknowledged rows in hand
	afterReplied point = "answer" // the broker's, to a record
)

// NewRelay returns a relay for the outbox table in pool, woken by o. It does
// nothing until Run.
func NewRelay(pool *pgxpool.Pool, o *Outbox, cfg RelayConfig) *Relay {
	r := &Relay{
		id:       uuid.New(),
		pool:     pool,
		out:      o,
		cfg:      cfg.withDefaults(),
		metrics:  newMetrics(cfg.Registerer),
		flight:   newFlight(),
		lone:     lone{queues: map[partition][]*record{}},
		troubles: map[string]error{},

		recreated: map[string]bool{},
		readOf:    map[string]bool{},

		clock:        time.Now,
		measureEvery: measureEvery,
		// Far above what a healthy broker needs, also while a partition elects a new leader.
		slow: 5 * time.Second,
		at:   func(point) {},
	}
	r.company.maxBatch, r.alone.maxBatch = companyBytes, aloneBytes
	mode := Polling
	r.mode.Store(&mode)
	o.relay.Store(r)
	return r
}

// Run publishes until ctx is done, then waits up to DrainTimeout for what is at
// the producer, hands its shards back, and returns nil. It returns an error only
// for options that no Kafka client can be made with: whatever the database and the
// broker say is waited for, and Ready says what it is. It is called once.
func (r *Relay) Run(ctx context.Context) error {
	for _, p := range r.producers() {
		if err := r.open(p); err != nil {
			return fmt.Errorf("make the outbox relay's Kafka clients: %w", err)
		}
		defer p.close()
	}
	// Marks and leases go on while the drain waits for the broker.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var loops sync.WaitGroup
	loops.Go(func() { r.leaseLoop(background) })
	loops.Go(func() { r.markLoop(background) })
	loops.Go(func() { r.measureLoop(ctx) })
	loops.Go(func() { r.confirmLoop(ctx) })

	r.readLoop(ctx)
	r.drain()
	stop()
	loops.Wait()
	r.release(context.WithoutCancel(ctx))
	return nil
}

// drain waits until the producer is empty and everything acknowledged is marked.
// What stays is published again by the next leader.
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
		case <-r.flight.progress:
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
