package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

const group = "testers"

// bench is one consumer group's world: broker, registry, database with inbox,
// outbox and a table of effects.
type bench struct {
	t        testing.TB
	pool     *pgxpool.Pool
	cluster  *kfake.Cluster
	brokers  []string
	codec    *schema.Codec
	outbox   *outbox.Outbox
	registry *schematest.Registry
}

func newBench(t testing.TB) *bench {
	t.Helper()
	return newBenchRelayed(t, 0)
}

// newBenchRelayed is newBench with a relay that polls the outbox so often; 0 is its default.
func newBenchRelayed(t testing.TB, pollEvery time.Duration) *bench {
	t.Helper()
	b := &bench{t: t, pool: pgtest.NewDB(t, outbox.Component(), inbox.Component(), retry.Component()), registry: schematest.Start(t)}
	topics := events.Topics()
	for _, t := range events.Topics() {
		topics = append(topics, events.RetryTopic(t.Name, group), events.DeadLetterTopic(t.Name, group))
	}
	b.cluster = kafkatest.StartCluster(t, topics...)
	b.brokers = b.cluster.ListenAddrs()
	if _, err := b.pool.Exec(t.Context(), `CREATE TABLE effects (n bigserial PRIMARY KEY, order_id text, what text)`); err != nil {
		t.Fatal(err)
	}
	b.codec = schema.New(schema.Config{
		Client: schema.NewClient(b.registry.URL), Grace: 50 * time.Millisecond, Patience: 20 * time.Second,
	})
	if err := b.codec.Register(t.Context(), events.Catalogue()...); err != nil {
		t.Fatal(err)
	}
	b.outbox = outbox.New(b.codec, "/eventshop/test")
	b.relay(pollEvery)
	return b
}

// relay publishes what is in the outbox until the test ends.
func (b *bench) relay(pollEvery time.Duration) {
	relay := outbox.NewRelay(b.pool, b.outbox, outbox.RelayConfig{Brokers: b.brokers, PollEvery: pollEvery, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- relay.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			b.t.Errorf("relay: %v", err)
		}
	})
}

// effect is what handlers of these tests do: one row.
func effect(ctx context.Context, tx pgx.Tx, orderID, what string) error {
	_, err := tx.Exec(ctx, `INSERT INTO effects (order_id, what) VALUES ($1, $2)`, orderID, what)
	return err
}

// effects lists what handlers have committed, in order.
func (b *bench) effects() []string {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), `SELECT order_id || ' ' || what FROM effects ORDER BY n`)
	if err != nil {
		b.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// deadLetters counts the outbox rows bound for dead-letter topics.
func (b *bench) deadLetters() int {
	b.t.Helper()
	var n int
	if err := b.pool.QueryRow(b.t.Context(), `SELECT count(*) FROM outbox WHERE topic LIKE '%.dlq'`).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *bench) awaitEffects(n int) []string {
	b.t.Helper()
	var got []string
	kafkatest.Eventually(b.t, fmt.Sprintf("%d effects", n), func() bool {
		got = b.effects()
		return len(got) >= n
	})
	return got
}

// run starts a consumer; the returned function stops it and waits for it. It is
// stopped at the end of the test in any case.
func (b *bench) run(cfg consumer.Config) (stop func()) {
	b.t.Helper()
	_, stop = b.runs(cfg)
	return stop
}

// start is run for a test that looks at the consumer.
func (b *bench) start(cfg consumer.Config) *consumer.Consumer {
	b.t.Helper()
	c, _ := b.runs(cfg)
	return c
}

func (b *bench) runs(cfg consumer.Config) (c *consumer.Consumer, stop func()) {
	b.t.Helper()
	cfg.Brokers, cfg.Pool, cfg.Codec, cfg.Outbox = b.brokers, b.pool, b.codec, b.outbox
	if cfg.Group == "" {
		cfg.Group = group
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if cfg.Backoff.Base == 0 {
		cfg.Backoff.Base = 5 * time.Millisecond
	}
	if cfg.Retry.Backoff.Base == 0 {
		cfg.Retry.Backoff.Base = 5 * time.Millisecond
	}
	c, err := consumer.New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("Run: %v", err)
		}
	})
	b.t.Cleanup(stop)
	return c, stop
}

// record makes a record of an event as the relay would send it.
func (b *bench) record(e events.Event, version int64) *kgo.Record {
	b.t.Helper()
	return b.recordWithID(uuid.Must(uuid.NewV7()), e, version)
}

func (b *bench) recordWithID(id uuid.UUID, e events.Event, version int64) *kgo.Record {
	b.t.Helper()
	return kafkatest.Record(b.t, b.codec, e, func(env *events.Envelope) { env.ID, env.AggregateVersion = id, version })
}

func delivered(order string) events.OrderDelivered {
	return events.OrderDelivered{OrderID: order, OccurredAt: time.Now().UTC()}
}

func confirmed(order string) events.OrderConfirmed {
	return events.OrderConfirmed{OrderID: order, TrackingID: "TRK", OccurredAt: time.Now().UTC()}
}

// counter reads a metric's value by the labels given, summed over the others.
func counter(t testing.TB, reg *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metric:
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i+1 < len(labels); i += 2 {
				if have[labels[i]] != labels[i+1] {
					continue metric
				}
			}
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}
