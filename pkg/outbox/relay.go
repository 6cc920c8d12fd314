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
// renews the leases; and in mode debezium one marks what Debezium has sent. An order's way from commit to broker is one query and one
// produce request; marks and leases are beside that way.
type Relay struct {
	id      uuid.UUID // of this run; never reused, so that a successor is somebody else
	pool    *pgxpool.Pool
	out     *Outbox
	cfg     RelayConfig
	metrics *metrics
	flight  *flight
	client  *kgo.Client     // set by Run, as alone is
	alone   *kgo.Client     // see clients
	lone    lone            // what is sent by it
	readOf  map[string]bool // topics of the rows read so far; the read loop's
	mode    atomic.Pointer[Mode]

	mu       sync.Mutex
	troubles map[string]error // by what fails now: read, mark, lease

	heldFor   string // why an operator lets no relay publish; empty: they may
	heldSince time.Time

	recreated map[string]bool // topics that the client must forget, see followRecreated
	released  bool            // a hold has ended; the topics of readOf are to be forgotten too

	capture error // why Debezium does not relay, in mode debezium
}

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
	}
	mode := Polling
	r.mode.Store(&mode)
	return r
}

// Run publishes until ctx is done, then waits up to DrainTimeout for what is at
// the producer, hands its shards back, and returns nil. It returns an error only
// when the configuration makes no Kafka client; whatever the database or the broker
// refuses is tried again until ctx is done. It is called once.
func (r *Relay) Run(ctx context.Context) error {
	var err error
	if r.client, r.alone, err = r.clients(); err != nil {
		return fmt.Errorf("make the outbox relay's Kafka clients: %w", err)
	}
	defer r.client.Close()
	defer r.alone.Close()

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

// options are those of a producer whose batches are at most so large.
func (r *Relay) options(batchBytes int32) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(r.cfg.Brokers...),
		kgo.RequiredAcks(kgo.AllISRAcks()), // the default, and a promise of this package; idempotence is on by default
		kgo.ProducerLinger(0),              // the default of 10 ms would be paid four times by each order
		kgo.ProducerBatchMaxBytes(batchBytes),
		// The hash of the Java client, so that Debezium or another producer
		// puts a key into the same partition.
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		// After a broker comes back or a partition moves, the backlog should
		// not wait for the defaults of several seconds.
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(func(fails int) time.Duration { return min(pause(max(0, fails-1)), time.Second) }),
		// Never reached, since flight bounds the rows: a read may bring a few more
		// than there is room for, and a record counts here until its promise has
		// returned. Produce would block at this limit, also inside a promise, where it
		// would wait for itself.
		kgo.MaxBufferedRecords(r.most()),
	}, r.cfg.KgoOpts...)
}

// most is more than the records that can be at the producers.
func (r *Relay) most() int { return 2*r.cfg.MaxInFlight + r.cfg.BatchSize + shards }

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

// askTimeout bounds the question why the broker does not acknowledge, within the 900 ms that
// a readiness check has.
const askTimeout = 500 * time.Millisecond

// Ready returns nil when nothing general keeps the relay from publishing, else
// the reason: an operator holds it, the database or the broker does not answer, Debezium
// does not read its slot or has lost it, or a topic refuses records. Single records that are refused show in the metrics only, since
// everything else goes on.
func (r *Relay) Ready() error {
	if err := r.anyTrouble(); err != nil {
		return fmt.Errorf("outbox relay: %w", err)
	}
	r.mu.Lock()
	held, capture := r.heldFor, r.capture
	r.mu.Unlock()
	if capture != nil {
		return fmt.Errorf("outbox relay: %w", capture)
	}
	if held != "" {
		return fmt.Errorf("outbox relay: held (%s)", held)
	}
	if topic, err := r.flight.topicTrouble(); err != nil {
		return fmt.Errorf("outbox relay: topic %s: %w", topic, err)
	}
	// Far above what a healthy broker needs, also while a partition elects a
	// new leader.
	const slow = 5 * time.Second
	if _, _, _, oldest := r.flight.counts(); oldest != nil {
		if wait := time.Since(oldest.sentAt); wait > slow {
			err := fmt.Errorf("outbox relay: the broker has not acknowledged a record of %s for %s",
				oldest.lane.topic, wait.Round(time.Second))
			// The producer tries again and does not say why: the broker is asked.
			asking, cancel := context.WithTimeout(context.Background(), askTimeout)
			defer cancel()
			if why := r.client.Ping(asking); why != nil {
				err = fmt.Errorf("%w: %w", err, why)
			}
			return err
		}
	}
	return nil
}

// trouble notes, logs and counts that an operation failed, or with nil that it
// works.
func (r *Relay) trouble(operation string, err error) {
	r.mu.Lock()
	before := r.troubles[operation]
	if err == nil {
		delete(r.troubles, operation)
	} else {
		r.troubles[operation] = err
	}
	r.mu.Unlock()
	switch {
	case err != nil:
		r.metrics.errors.WithLabelValues(operation).Inc()
		r.cfg.Logger.Warn("outbox relay will try again", "operation", operation, "error", err)
	case before != nil:
		r.cfg.Logger.Info("outbox relay works again", "operation", operation)
	}
}

func (r *Relay) anyTrouble() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range r.troubles {
		return err
	}
	return nil
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
