package consumer

import (
	"cmp"
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
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
)

// Config says what a Consumer reads and where its effects go.
type Config struct {
	Group         string   // consumer group, by convention the service's name
	Brokers       []string // host:port
	Pool          *pgxpool.Pool
	Codec         *schema.Codec
	Outbox        *outbox.Outbox // where handlers, retries and dead letters append
	Subscriptions []Subscription // one per event type
	Logger        *slog.Logger
	Registerer    prometheus.Registerer // nil: metrics are kept but not exported

	Retry           Retry         // of records that fail, where their subscription has none
	MaxBatch        int           // records in one transaction, default 500
	CallConcurrency int           // calls (see OnCall) in flight at once, default 16
	Backoff         Backoff       // of a partition that waits for something that is down
	StopGrace       time.Duration // how long a batch in hand may finish after Run's ctx ends, default 5 s
	KgoOpts         []kgo.Opt     // TLS, SASL and the like
}

// Consumer is one member of a consumer group. New creates it, Run drives it.
type Consumer struct {
	cfg           Config
	log           *slog.Logger
	metrics       *metrics
	store         *retry.Store
	subscriptions map[string]Subscription // by ce_type
	topics        []string                // of the subscriptions
	client        *member                 // made by Run; the loop's
	backlog       *backlog
	careful       bool // the last batch held a record that failed: see transact
	narrow        int  // likewise, and not even savepoints told which: the most records in a batch; 0 is no bound

	mu           sync.Mutex
	running      []*member // the clients, for Ready: of new records, then of retries; empty before Run
	trouble      error     // what some partition waits for, nil when none does
	retryTrouble error     // what some retry waits for, likewise
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
		store:         retry.New(cfg.Group, cfg.Outbox),
		subscriptions: map[string]Subscription{},
		backlog:       newBacklog(),
	}
	topics := map[string]bool{}
	for _, s := range cfg.Subscriptions {
		if _, twice := c.subscriptions[s.Type.Name]; twice {
			return nil, errs.New(errs.Invalid, "consumer: two subscriptions to %s", s.Type.Name)
		}
		s.Retry = s.Retry.withDefaults(cfg.Retry)
		c.subscriptions[s.Type.Name] = s
		topics[s.Type.Topic] = true
	}
	if len(topics) == 0 {
		return nil, errs.New(errs.Invalid, "consumer: no subscriptions")
	}
	c.topics = slices.Sorted(maps.Keys(topics))
	if err := kgo.ValidateOpts(c.options()...); err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "consumer: Kafka client")
	}
	return c, nil
}

// options are those of the client that reads the subscribed topics.
func (c *Consumer) options() []kgo.Opt {
	// The end of a transaction of Kafka is a record, too. Who does not see it never commits an
	// offset behind it, and its group looks for ever as if it had one record to read.
	return append(groupOptions(c.cfg.Brokers, c.cfg.Group, c.topics, c.cfg.KgoOpts), kgo.KeepControlRecords())
}

// RetryGroup is the name of the consumer group that reads the retry topics of a group.
// It is one of its own, so that neither's rebalances hold up the other.
func RetryGroup(group string) string { return group + ".retry" }

// retryOptions are those of the client that reads the retry topics.
func (c *Consumer) retryOptions() []kgo.Opt {
	var topics []string
	for _, t := range c.topics {
		topics = append(topics, events.RetryTopic(t, c.cfg.Group).Name)
	}
	return groupOptions(c.cfg.Brokers, RetryGroup(c.cfg.Group), topics, c.cfg.KgoOpts)
}

// Run joins the group and consumes until ctx ends, then lets the batch in hand
// finish, commits the marked offsets, leaves the group and returns nil. It is
// called once.
func (c *Consumer) Run(ctx context.Context) error {
	// Batches and the clients outlive ctx by the grace period: a commit cut off in
	// the middle is correct but repeats its calls on the next start.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(c.cfg.StopGrace, stop) })()

	client, err := join(c.options(), c.log, c.watchCommits(c.cfg.Group), c.cfg.StopGrace, func(tp topicPartition) {
		c.metrics.lag.DeleteLabelValues(tp.topic, strconv.Itoa(int(tp.partition)))
	})
	if err != nil {
		return err
	}
	second, err := join(c.retryOptions(), c.log, c.watchCommits(RetryGroup(c.cfg.Group)), c.cfg.StopGrace, func(topicPartition) {})
	if err != nil {
		client.leave()
		return err
	}
	c.client = client
	c.mu.Lock()
	c.running = []*member{client, second}
	c.mu.Unlock()

	// What is tried again must not hold up what comes for the first time, and the other
	// way round: one waits, and the other calls servers that may be slow.
	var both sync.WaitGroup
	both.Go(func() { retry.NewMetrics(c.cfg.Registerer, c.cfg.Group).Run(ctx, c.cfg.Pool) })
	both.Go(func() {
		(&retries{Consumer: c, client: second, windows: map[topicPartition]*window{}}).run(ctx, work)
		second.leave()
	})
	for ctx.Err() == nil {
		c.poll(ctx)
		if ctx.Err() != nil {
			break
		}
		c.batch(work)
		letGo(c.client, c.backlog.queues)
	}
	client.leave()
	both.Wait()
	return nil
}

// Ready returns nil when this member has its partitions and the last try did its
// work, else the reason why not.
func (c *Consumer) Ready(ctx context.Context) error {
	c.mu.Lock()
	members, trouble := c.running, cmp.Or(c.trouble, c.retryTrouble)
	c.mu.Unlock()
	if len(members) == 0 {
		return errors.New("not started: waiting for the database")
	}
	if err := members[0].Ping(ctx); err != nil {
		return fmt.Errorf("broker does not answer: %w", err)
	}
	if !members[0].isAssigned() {
		return errors.New("waiting for the consumer group to assign partitions")
	}
	if trouble != nil {
		return trouble
	}
	for _, m := range members {
		if err := m.commits.Trouble(); err != nil {
			return err
		}
	}
	return nil
}

// poll moves fetched records into the backlog. It blocks until there is something
// to do: a record, a queue that is due, or the end of ctx.
func (c *Consumer) poll(ctx context.Context) {
	limit := c.cfg.MaxBatch
	at, some := c.backlog.next()
	if some && !at.After(time.Now()) && c.backlog.size() >= c.cfg.MaxBatch {
		limit = 0 // enough in hand
	}
	heeding, heard := c.heeding(ctx)
	fetches := c.client.fetch(heeding, at, some, limit)
	heard()
	dropGone(c.client, c.backlog.queues)
	c.hearNews()
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
