package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/schema"
)

// Config says what a Consumer reads and where its effects go.
type Config struct {
	Group         string   // consumer group, by convention the service's name
	Brokers       []string // host:port
	Pool          *pgxpool.Pool
	Codec         *schema.Codec
	Outbox        *outbox.Outbox // where handlers and dead letters append
	Subscriptions []Subscription // one per event type
	Logger        *slog.Logger
	Registerer    prometheus.Registerer // nil: metrics are kept but not exported

	MaxBatch        int           // records in one transaction, default 500
	CallConcurrency int           // calls (see OnCall) in flight at once, default 16
	Backoff         Backoff       // for a failing record and a failing transaction
	StopGrace       time.Duration // how long a batch in hand may finish after Run's ctx ends, default 5 s
	KgoOpts         []kgo.Opt     // TLS, SASL and the like
}

// Consumer is one member of a consumer group. New creates it, Run drives it.
type Consumer struct {
	cfg           Config
	log           *slog.Logger
	metrics       *metrics
	subscriptions map[string]Subscription // by ce_type
	opts          []kgo.Opt
	client        *kgo.Client // made by Run; the loop's
	backlog       *backlog

	mu       sync.Mutex
	running  *kgo.Client      // the same, for Ready; nil before Run
	revoked  []topicPartition // told by the group, not yet dropped by the loop
	assigned bool             // the group has given this member its share
	trouble  error            // why the last try did nothing, nil when it did
}

// New checks the configuration. It does not connect: a member of a group owns
// partitions, and one that waits for its database must not own any.
func New(cfg Config) (*Consumer, error) {
	if cfg.Group == "" || len(cfg.Brokers) == 0 || cfg.Pool == nil || cfg.Codec == nil || cfg.Outbox == nil {
		return nil, errs.New(errs.Invalid, "consumer: Group, Brokers, Pool, Codec and Outbox are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.MaxBatch <= 0 {
		cfg.MaxBatch = 500
	}
	if cfg.CallConcurrency <= 0 {
		cfg.CallConcurrency = 16
	}
	if cfg.StopGrace <= 0 {
		cfg.StopGrace = 5 * time.Second
	}
	c := &Consumer{
		cfg:           cfg,
		log:           cfg.Logger.With("group", cfg.Group),
		metrics:       newMetrics(cfg.Registerer, cfg.Group),
		subscriptions: map[string]Subscription{},
		backlog:       newBacklog(),
	}
	topics := map[string]bool{}
	for _, s := range cfg.Subscriptions {
		if _, twice := c.subscriptions[s.Type.Name]; twice {
			return nil, errs.New(errs.Invalid, "consumer: two subscriptions to %s", s.Type.Name)
		}
		c.subscriptions[s.Type.Name] = s
		topics[s.Type.Topic] = true
	}
	if len(topics) == 0 {
		return nil, errs.New(errs.Invalid, "consumer: no subscriptions")
	}
	c.opts = append([]kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID(cfg.Group),
		kgo.ConsumerGroup(cfg.Group),
		kgo.ConsumeTopics(slices.Sorted(maps.Keys(topics))...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// Cooperative: a rebalance takes from a member only what it must give up.
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		// A killed member holds its partitions until its session is over, and one that
		// is started again waits for that. 6 s is the least Apache Kafka allows by
		// default; a member that was merely slow costs a rebalance, not an effect.
		kgo.SessionTimeout(6 * time.Second),
		kgo.HeartbeatInterval(1500 * time.Millisecond),
		// A batch is never torn from under the loop: rebalances wait for it.
		kgo.BlockRebalanceOnPoll(),
		// Offsets are marked after the database commit and committed from there in
		// the background: a crash in between costs duplicates, which the inbox
		// absorbs, and saves a broker round trip per batch.
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(500 * time.Millisecond),
		kgo.OnPartitionsAssigned(c.onAssigned),
		kgo.OnPartitionsRevoked(c.onRevoked),
		kgo.OnPartitionsLost(c.onLost),
		// A resumed partition joins the next fetch only when the one under way
		// returns, so this bounds how late a due retry is noticed.
		kgo.FetchMaxWait(250 * time.Millisecond),
		kgo.FetchMaxBytes(4 << 20), // with MaxBatch this bounds the memory of a backlog
		kgo.FetchMaxPartitionBytes(1 << 20),
	}, cfg.KgoOpts...)
	if err := kgo.ValidateOpts(c.opts...); err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "consumer: Kafka client")
	}
	return c, nil
}

// Run joins the group and consumes until ctx ends, then lets the batch in hand
// finish, commits the marked offsets, leaves the group and returns nil. It is
// called once.
func (c *Consumer) Run(ctx context.Context) error {
	// Batches and the client outlive ctx by the grace period: a commit cut off in
	// the middle is correct but repeats its calls on the next start.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(c.cfg.StopGrace, stop) })()

	online, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	client, err := kgo.NewClient(append(c.opts, kgo.WithContext(online))...)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "consumer: create Kafka client")
	}
	c.client = client
	c.mu.Lock()
	c.running = client
	c.mu.Unlock()

	for ctx.Err() == nil {
		c.poll(ctx)
		if ctx.Err() != nil {
			break
		}
		c.batch(work)
		c.client.AllowRebalance()
	}
	c.leave(cut)
	return nil
}

// leave commits the marked offsets and leaves the group. A broker that accepts
// connections and does not answer would hold it for ever, so after the grace
// period it is cut off: the group then misses the member after its session.
func (c *Consumer) leave(cut context.CancelFunc) {
	left := make(chan struct{})
	go func() {
		defer close(left)
		flush, cancel := context.WithTimeout(context.Background(), c.cfg.StopGrace)
		defer cancel()
		if err := c.client.CommitMarkedOffsets(flush); err != nil {
			c.log.Warn("offsets not committed at stop; their records will be read again", "error", err)
		}
		c.client.CloseAllowingRebalance()
	}()
	timeout := time.NewTimer(c.cfg.StopGrace)
	defer timeout.Stop()
	select {
	case <-left:
	case <-timeout.C:
		cut()
		<-left
	}
}

// Ready returns nil when this member has its partitions and the last try did its
// work, else the reason why not.
func (c *Consumer) Ready(ctx context.Context) error {
	c.mu.Lock()
	client, assigned, trouble := c.running, c.assigned, c.trouble
	c.mu.Unlock()
	if client == nil {
		return errors.New("not started: waiting for the database")
	}
	if err := client.Ping(ctx); err != nil {
		return fmt.Errorf("broker does not answer: %w", err)
	}
	if !assigned {
		return errors.New("waiting for the consumer group to assign partitions")
	}
	return trouble
}

// poll moves fetched records into the backlog. It blocks until there is something
// to do: a record, a queue that is due, or the end of ctx. From its return until
// AllowRebalance no partition is taken away.
func (c *Consumer) poll(ctx context.Context) {
	var fetches kgo.Fetches
	at, some := c.backlog.next()
	switch now := time.Now(); {
	case some && !at.After(now):
		// There is work already: take what lies ready, if there is room for it, and go
		// on. A nil context is kgo's way to ask for a poll that does not wait; one that
		// finds nothing does not hold rebalances off, one whose context has ended does.
		if c.backlog.size() < c.cfg.MaxBatch {
			//lint:ignore SA1012 kgo documents what it does with a nil context
			fetches = c.client.PollRecords(nil, c.cfg.MaxBatch)
		}
		if fetches.Empty() {
			ended, end := context.WithCancel(ctx)
			end()
			fetches = append(fetches, c.client.PollRecords(ended, c.cfg.MaxBatch)...)
		}
	case some:
		wait, cancel := context.WithDeadline(ctx, at)
		defer cancel()
		fetches = c.client.PollRecords(wait, c.cfg.MaxBatch)
	default:
		c.setTrouble(nil) // nothing left that could be in trouble
		fetches = c.client.PollRecords(ctx, c.cfg.MaxBatch)
	}
	if paused := c.backlog.drop(c.takeRevoked()); len(paused) > 0 {
		// The client remembers a pause beyond the partition's stay; it may come back.
		c.client.ResumeFetchPartitions(paused)
	}
	fetches.EachError(func(topic string, partition int32, err error) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kgo.ErrClientClosed) {
			return
		}
		c.log.Warn("fetch failed; the client goes on trying", "topic", topic, "partition", partition, "error", err)
	})
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		for _, r := range p.Records {
			c.backlog.add(r)
		}
		if n := len(p.Records); n > 0 {
			c.metrics.lag.WithLabelValues(p.Topic, strconv.Itoa(int(p.Partition))).
				Set(float64(p.HighWatermark - p.Records[n-1].Offset - 1))
		}
	})
}

func (c *Consumer) onAssigned(context.Context, *kgo.Client, map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.assigned = true
}

// onRevoked commits what the database has committed, so that the next owner
// starts right behind it, then hands the partitions to the loop for dropping.
func (c *Consumer) onRevoked(ctx context.Context, cl *kgo.Client, tps map[string][]int32) {
	if err := cl.CommitMarkedOffsets(ctx); err != nil {
		c.log.Warn("offsets not committed at revocation; their records will be read again", "error", err)
	}
	c.giveUp(tps)
}

// onLost hears that the group has thrown this member out.
func (c *Consumer) onLost(_ context.Context, _ *kgo.Client, tps map[string][]int32) {
	c.mu.Lock()
	c.assigned = false
	c.mu.Unlock()
	c.giveUp(tps)
}

// giveUp hands partitions that are no longer ours to the loop for dropping.
func (c *Consumer) giveUp(tps map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, partitions := range tps {
		for _, p := range partitions {
			c.revoked = append(c.revoked, topicPartition{topic, p})
			c.metrics.lag.DeleteLabelValues(topic, strconv.Itoa(int(p)))
		}
	}
}

func (c *Consumer) takeRevoked() []topicPartition {
	c.mu.Lock()
	defer c.mu.Unlock()
	tps := c.revoked
	c.revoked = nil
	return tps
}
