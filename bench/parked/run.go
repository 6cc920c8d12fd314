package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"eventshop.example/local/broker"
	"eventshop.example/local/registry"
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
)

const (
	group = "bench"
	topic = events.TopicOrderEvents
	// tooLong ends a run that does not get on.
	tooLong = 5 * time.Minute
)

// bench is what all runs share: a database server, a registry, and the records.
type bench struct {
	cfg     config
	dir     string
	server  *server.Temporary
	codec   *schema.Codec
	stop    context.CancelFunc
	ended   errgroup.Group
	records []*kgo.Record
	fate    map[string]fate // by "key/version"
	runs    int
}

type fate int

const (
	fine fate = iota
	once
	always
)

func newBench(ctx context.Context, cfg config) (b *bench, err error) {
	b = &bench{cfg: cfg, fate: map[string]fate{}}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.dir, err = os.MkdirTemp("", "eventshop-bench-"); err != nil {
		return b, err
	}
	bin, err := server.FindBinaries(ctx)
	if err != nil {
		return b, err
	}
	if b.server, err = server.StartTemporary(ctx, bin); err != nil {
		return b, err
	}
	port, err := server.FreePort()
	if err != nil {
		return b, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	own, stop := context.WithCancel(ctx)
	b.stop = stop
	b.ended.Go(func() error {
		return registry.Run(own, registry.Config{Addr: addr, DataDir: filepath.Join(b.dir, "registry")})
	})
	b.codec = schema.NewCodec(schema.NewClient("http://" + addr))
	for {
		if err = b.codec.Register(ctx, events.TypeOf[events.OrderDelivered]()); err == nil {
			return b, b.draw(ctx)
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return b, err
		}
	}
}

func (b *bench) close() {
	if b.stop != nil {
		b.stop()
	}
	_ = b.ended.Wait() // the registry's end is the run's
	if b.server != nil {
		_ = b.server.Stop() // a temporary one; what is left of it is in no one's way
	}
	_ = os.RemoveAll(b.dir)
}

// draw makes the records, the same for all runs: the keys in turn, and the fate of each
// record by a fixed seed.
func (b *bench) draw(ctx context.Context) error {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range b.cfg.records {
		key, version := fmt.Sprintf("order-%05d", i%b.cfg.keys), int64(i/b.cfg.keys+1)
		value, err := b.codec.Encode(ctx, events.OrderDelivered{OrderID: key, OccurredAt: time.Now().UTC()})
		if err != nil {
			return err
		}
		env := events.Envelope{
			ID: uuid.Must(uuid.NewV7()), Source: "/bench", Type: "OrderDelivered", Subject: key, AggregateVersion: version,
			Time: time.Now().UTC(), ContentType: events.ContentTypeAvro,
		}
		r := &kgo.Record{Topic: topic, Key: []byte(key), Value: value}
		for _, h := range env.Headers() {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		b.records = append(b.records, r)
		switch n := rnd.Float64(); {
		case n < b.cfg.always:
			b.fate[name(key, version)] = always
		case n < b.cfg.always+b.cfg.once:
			b.fate[name(key, version)] = once
		}
	}
	return nil
}

func name(key string, version int64) string { return fmt.Sprintf("%s/%d", key, version) }

// result is one run. lost and disorder are what must not be.
type result struct {
	records                        int
	took                           time.Duration
	applied, dead, behind, retries int
	lost, disorder                 int
}

func (r result) throughput() float64 { return float64(r.records) / r.took.Seconds() }

// run consumes all records with an empty database and a broker of its own.
func (b *bench) run(ctx context.Context, failures bool) (r result, err error) {
	ctx, cancel := context.WithTimeout(ctx, tooLong)
	defer cancel()
	pool, err := b.database(ctx)
	if err != nil {
		return r, err
	}
	defer pool.Close()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		return r, err
	}
	defer cluster.Close()
	brokers := cluster.ListenAddrs()
	var orders events.Topic
	for _, t := range events.Topics() {
		if t.Name == topic {
			orders = t
		}
	}
	if err := broker.CreateTopics(ctx, kafka.Cluster{Brokers: brokers}, orders, events.RetryTopic(topic, group), events.DeadLetterTopic(topic, group)); err != nil {
		return r, err
	}
	if err := b.produce(ctx, brokers); err != nil {
		return r, err
	}

	out := outbox.New(b.codec, "/bench")
	c, err := consumer.New(consumer.Config{
		Group: group, Brokers: brokers, Pool: pool, Codec: b.codec, Outbox: out, Retry: b.cfg.retry, Registerer: prometheus.NewRegistry(),
		Subscriptions: []consumer.Subscription{consumer.On(b.handler(failures))},
	})
	if err != nil {
		return r, err
	}
	relay := outbox.NewRelay(pool, out, outbox.RelayConfig{Brokers: brokers})
	work, stop := context.WithCancel(ctx)
	defer stop()
	var parts errgroup.Group
	parts.Go(func() error { return relay.Run(work) })
	parts.Go(func() error { return c.Run(work) })
	err = b.await(ctx, pool)
	stop()
	if err := errors.Join(err, parts.Wait()); err != nil {
		return r, err
	}
	return b.judge(ctx, pool, failures)
}

// handler does what a small handler does: it reads the aggregate's version, writes it, and
// notes the effect with its place in the order of effects.
func (b *bench) handler(failures bool) func(context.Context, pgx.Tx, consumer.Event[events.OrderDelivered]) error {
	return func(ctx context.Context, tx pgx.Tx, e consumer.Event[events.OrderDelivered]) error {
		if failures {
			if f := b.fate[name(e.Data.OrderID, e.AggregateVersion)]; f == always || f == once && e.Attempt == 1 {
				return errors.New("told to fail")
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO effects (order_id, version) VALUES ($1, $2)`, e.Data.OrderID, e.AggregateVersion)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO aggregates (order_id, version) VALUES ($1, $2)
			ON CONFLICT (order_id) DO UPDATE SET version = excluded.version`, e.Data.OrderID, e.AggregateVersion)
		return err
	}
}

func (b *bench) database(ctx context.Context) (*pgxpool.Pool, error) {
	b.runs++
	db := fmt.Sprintf("run_%d", b.runs)
	admin, err := pgx.Connect(ctx, b.server.URL("postgres"))
	if err != nil {
		return nil, err
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, `CREATE DATABASE `+db); err != nil {
		return nil, err
	}
	url := b.server.URL(db)
	if err := postgres.Migrate(ctx, url, outbox.Component(), inbox.Component(), retry.Component()); err != nil {
		return nil, err
	}
	pool, err := postgres.Open(ctx, postgres.Config{URL: url})
	if err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, `
		CREATE TABLE effects (n bigserial PRIMARY KEY, order_id text NOT NULL, version bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
		CREATE TABLE aggregates (order_id text PRIMARY KEY, version bigint NOT NULL)`)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

func (b *bench) produce(ctx context.Context, brokers []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	fresh := make([]*kgo.Record, len(b.records))
	for i, r := range b.records {
		fresh[i] = &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers}
	}
	return client.ProduceSync(ctx, fresh...).FirstErr()
}
