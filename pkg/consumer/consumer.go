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

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/position"
	"eventshop.example/pkg/retry"
)

// Config configures what a [Consumer] reads and where its effects go.
type Config struct {
	Group   string   // consumer group, by convention the service's name
	Brokers []string // host:port
	Pool    *pgxpool.Pool
	Types   event.Catalogue // of the subscriptions and of what they emit
	// Decode returns a record's value as an event of the type, for example schema.Codec.Decode. It
	// must not wait long. An error of kind errs.Hopeless means that no repetition helps. Any other
	// error makes the partition wait. An error that is a [Waiting] names what it waits for.
	Decode func(ctx context.Context, t event.Type, value []byte) (event.Event, error)
	// Encodable returns nil when events of all the types can be published, for example
	// schema.Codec.Encodable. It does not wait. nil means that they can always be published.
	Encodable     func(types ...event.Type) error
	Outbox        *outbox.Outbox // where handlers, retries and dead letters append their rows
	Subscriptions []Subscription // one per event type
	Logger        *slog.Logger
	Registerer    prometheus.Registerer // nil: metrics are kept but not exported

	// Positions makes the group store how far it has handled each partition, in the transaction of
	// the effect, instead of one receipt per message (see package position, whose component has to
	// be among the database's). It is for read models, which recognise an event that lies in Kafka
	// more than once by themselves: by a version per key, or by one row per fact. Only records that
	// fail have receipts then. Receipts of before the change stay valid. Subscriptions with a call
	// are refused.
	Positions bool
	// Advanced is called in each transaction that moves positions, after it has moved them and before
	// any record is decided about; nil: nothing to do. It is for further readers that take part in the
	// transaction and have positions of their own. An error ends the transaction as that of a write
	// does. Retries move no positions.
	Advanced func(ctx context.Context, tx pgx.Tx, moves []position.Move) error

	// Without is called with the error of a transaction that failed. It reports whether the same records
	// can succeed without what failed, such as a read model that nothing reads; they are then tried again at
	// once. It must not return true for ever. nil: nothing can be left out.
	Without func(err error) bool

	Retry    Retry // of records that fail, where their subscription sets none
	MaxBatch int   // most records in one transaction, default 500; fewer where they take long
	// Gather is the least time between the beginnings of two batches, so that records that come one by one
	// share a transaction; 0: a batch never waits. The first record after a pause does not wait, nor
	// does a group that is behind. It is for read models, which no step of a saga waits for.
	Gather          time.Duration
	CallConcurrency int           // calls (see OnCall) in flight at once, default 16
	Backoff         Backoff       // of a partition that waits for something that is down
	StopGrace       time.Duration // how long the current batch may take to finish after Run's ctx ends, default 5 s
	KgoOpts         []kgo.Opt     // TLS, SASL and the like
}

// Consumer is one member of a consumer group. [New] creates it, [Consumer.Run] runs it.
type Consumer struct {
	cfg           Config
	log           *slog.Logger
	metrics       *metrics
	store         *retry.Store
	subscriptions map[string]Subscription // by ce_type
	topics        []string                // of the subscriptions
	client        *member                 // created by Run; used by the loop only
	backlog       *backlog
	joined        chan struct{} // closed when client is set
	receipts      bool          // with Positions: the inbox may know records that the loop reads
	canCall       bool          // some subscription has a call, and Run's context has not ended
	calls         *calls        // to the outside
	pace          pace          // how many records a batch contains
	order         []any         // the models of the subscriptions, in the order of the table

	mu           sync.Mutex
	running      []*member // the clients, for Ready: new records first, then retries; empty before Run
	trouble      error     // what some partition waits for, nil when none does
	retryTrouble error     // what some retry waits for, nil when none does
}

// New checks the configuration. It does not connect. A member of a group owns partitions, and a
// member that still waits for its database must not own any.
func New(cfg Config) (*Consumer, error) {
	if cfg.Group == "" || len(cfg.Brokers) == 0 || cfg.Pool == nil || cfg.Decode == nil || cfg.Outbox == nil {
		return nil, errs.New(errs.Invalid, "consumer: Group, Brokers, Pool, Decode and Outbox are required")
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
	if cfg.Encodable == nil {
		cfg.Encodable = func(...event.Type) error { return nil }
	}
	c := &Consumer{
		cfg:           cfg,
		log:           cfg.Logger.With("group", cfg.Group),
		metrics:       newMetrics(cfg.Registerer, cfg.Group),
		store:         retry.New(cfg.Group, cfg.Outbox),
		subscriptions: map[string]Subscription{},
		backlog:       newBacklog(),
		calls:         newCalls(cfg.CallConcurrency),
		pace:          pace{cfg.MaxBatch, cfg.MaxBatch},
	}
	topics := map[string]bool{}
	for _, s := range cfg.Subscriptions {
		s.Type = s.typeIn(cfg.Types)
		if _, twice := c.subscriptions[s.Type.Name]; twice {
			return nil, errs.New(errs.Invalid, "consumer: two subscriptions to %s", s.Type.Name)
		}
		s.Retry = s.Retry.withDefaults(cfg.Retry)
		c.subscriptions[s.Type.Name] = s
		topics[s.Type.Topic] = true
		if s.call != nil && cfg.Positions {
			return nil, errs.New(errs.Invalid, "consumer: %s has a call, and a group that stores positions makes none", s.Type.Name)
		}
		c.canCall = c.canCall || s.call != nil
		if !slices.Contains(c.order, s.model) {
			c.order = append(c.order, s.model)
		}
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

// options returns the options of the client that reads the subscribed topics.
func (c *Consumer) options() []kgo.Opt {
	// The end of a Kafka transaction is a record, too. A client that does not see it never commits
	// an offset behind it, and its group's lag then looks like one record for ever.
	return append(groupOptions(c.cfg.Brokers, c.cfg.Group, c.topics, c.cfg.KgoOpts), kgo.KeepControlRecords())
}

// RetryGroup returns the name of the consumer group that reads the retry topics of a group. It is a
// group of its own, so that a rebalance of one does not delay the other.
func RetryGroup(group string) string { return group + ".retry" }

// retryOptions returns the options of the client that reads the retry topics.
func (c *Consumer) retryOptions() []kgo.Opt {
	var topics []string
	for _, t := range c.topics {
		topics = append(topics, event.RetryTopic(t, c.cfg.Group).Name)
	}
	return groupOptions(c.cfg.Brokers, RetryGroup(c.cfg.Group), topics, c.cfg.KgoOpts)
}

// Run joins the group and consumes until ctx ends. Then it lets the current batch finish, commits
// the marked offsets, leaves the group and returns nil. It may be called once.
func (c *Consumer) Run(ctx context.Context) error {
	// Batches and the clients outlive ctx by the grace period. Cutting off a commit would be
	// correct, but it repeats the batch's calls on the next start.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(c.cfg.StopGrace, stop) })()

	options := c.options()
	if c.cfg.Positions {
		options = append(options, kgo.AdjustFetchOffsetsFn(c.goOn))
	}
	c.joined = make(chan struct{})
	client, err := join(options, c.log, c.watchCommits(c.cfg.Group), c.cfg.StopGrace, func(tp topicPartition) {
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
	close(c.joined)
	c.mu.Lock()
	c.running = []*member{client, second}
	c.mu.Unlock()

	// Retries must not delay new records, and new records must not delay retries: a retry waits,
	// and a call to another server may be slow.
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
		began := time.Now()
		handled := c.batch(work)
		letGo(c.client, c.backlog.queues)
		if handled > 0 && handled < min(c.pace.size, c.cfg.MaxBatch) {
			gather(ctx, began.Add(c.cfg.Gather))
		}
	}
	c.finishCalls(ctx, work)
	stop()
	c.calls.running.Wait()
	client.leave()
	both.Wait()
	return nil
}

// gather waits until an instant, or until ctx ends.
func gather(ctx context.Context, until time.Time) {
	wait := time.Until(until)
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Ready returns nil when this member has its partitions and the last try succeeded. Otherwise it
// returns the reason.
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

// poll moves fetched records into the backlog. It blocks until there is a record, a queue that is
// due, or the end of ctx.
func (c *Consumer) poll(ctx context.Context) {
	limit := c.cfg.MaxBatch
	at, some := c.backlog.next(c.canCall)
	if some && !at.After(time.Now()) && c.backlog.size() >= c.cfg.MaxBatch {
		limit = 0 // the backlog is full
	}
	heeding, heard := c.heeding(ctx)
	fetches := c.client.fetch(heeding, at, some, limit)
	c.calls.onAnswer(nil)
	heard()
	dropGone(c.client, c.backlog.queues)
	c.hearNews()
	ids := topicIDs(fetches)
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		for _, r := range p.Records {
			c.backlog.add(ids[p.Topic], r)
		}
		if n := len(p.Records); n > 0 {
			c.metrics.lag.WithLabelValues(p.Topic, strconv.Itoa(int(p.Partition))).
				Set(float64(p.HighWatermark - p.Records[n-1].Offset - 1))
		}
	})
}
