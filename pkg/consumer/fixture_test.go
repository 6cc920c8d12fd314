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
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/relay"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/position"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

const group = "testers"

// fixture is what one consumer group works with: broker, registry, and a database with inbox,
// outbox and a table of effects.
type fixture struct {
	t        testing.TB
	pool     *pgxpool.Pool
	cluster  *kfake.Cluster
	brokers  []string
	codec    *schema.Codec
	outbox   *outbox.Outbox
	registry *schematest.Registry

	positions bool // the group stores positions
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	return newFixtureRelayed(t, 0)
}

// newFixtureRelayed is newFixture with a relay that polls the outbox at the given interval; 0 is
// its default.
func newFixtureRelayed(t testing.TB, pollEvery time.Duration) *fixture {
	t.Helper()
	f := &fixture{t: t, pool: pgtest.NewDB(t, outbox.Component(), inbox.Component(), retry.Component(), position.Component()), registry: schematest.Start(t)}
	topics := sample.Topics()
	for _, t := range sample.Topics() {
		topics = append(topics, event.RetryTopic(t.Name, group), event.DeadLetterTopic(t.Name, group))
	}
	f.cluster = kafkatest.StartCluster(t, topics...)
	f.brokers = f.cluster.ListenAddrs()
	if _, err := f.pool.Exec(t.Context(), `CREATE TABLE effects (n bigserial PRIMARY KEY, parcel_id text, what text)`); err != nil {
		t.Fatal(err)
	}
	f.codec = schema.New(schema.Config{
		Types: sample.Catalogue(), Client: schema.NewClient(f.registry.URL), Grace: 50 * time.Millisecond, Patience: 20 * time.Second,
	})
	if err := f.codec.Register(t.Context(), sample.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	f.outbox = outbox.New(outbox.Config{Source: "/test", Types: f.codec.Types(), Encode: f.codec.Encode, CanEncode: f.codec.CanEncode})
	f.relay(pollEvery)
	return f
}

// relay publishes the outbox until the test ends.
func (f *fixture) relay(pollEvery time.Duration) {
	relay := relay.New(f.pool, f.outbox, relay.Config{Brokers: f.brokers, PollEvery: pollEvery, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- relay.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			f.t.Errorf("relay: %v", err)
		}
	})
}

// effect is what the handlers of these tests do: it inserts one row.
func effect(ctx context.Context, tx pgx.Tx, parcelID, what string) error {
	_, err := tx.Exec(ctx, `INSERT INTO effects (parcel_id, what) VALUES ($1, $2)`, parcelID, what)
	return err
}

// effects returns what handlers have committed, in order.
func (f *fixture) effects() []string {
	f.t.Helper()
	rows, err := f.pool.Query(f.t.Context(), `SELECT parcel_id || ' ' || what FROM effects ORDER BY n`)
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// deadLetters counts the outbox rows for dead-letter topics.
func (f *fixture) deadLetters() int {
	f.t.Helper()
	var n int
	if err := f.pool.QueryRow(f.t.Context(), `SELECT count(*) FROM outbox WHERE topic LIKE '%.dlq'`).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

func (f *fixture) awaitEffects(n int) []string {
	f.t.Helper()
	var got []string
	kafkatest.Eventually(f.t, fmt.Sprintf("%d effects", n), func() bool {
		got = f.effects()
		return len(got) >= n
	})
	return got
}

// run starts a consumer. The returned function stops it and waits for it. The end of the test stops
// it in any case.
func (f *fixture) run(cfg consumer.Config) (stop func()) {
	f.t.Helper()
	_, stop = f.runs(cfg)
	return stop
}

// start is run for a test that uses the consumer.
func (f *fixture) start(cfg consumer.Config) *consumer.Consumer {
	f.t.Helper()
	c, _ := f.runs(cfg)
	return c
}

func (f *fixture) runs(cfg consumer.Config) (c *consumer.Consumer, stop func()) {
	f.t.Helper()
	cfg.Brokers, cfg.Pool, cfg.Outbox = f.brokers, f.pool, f.outbox
	cfg.Positions = f.positions
	cfg.Types, cfg.Decode, cfg.Encodable = f.codec.Types(), f.codec.Decode, f.codec.Encodable
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
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
	f.t.Cleanup(stop)
	return c, stop
}

// record returns a record of an event as the relay would send it.
func (f *fixture) record(e event.Event, version int64) *kgo.Record {
	f.t.Helper()
	return f.recordWithID(uuid.Must(uuid.NewV7()), e, version)
}

func (f *fixture) recordWithID(id uuid.UUID, e event.Event, version int64) *kgo.Record {
	f.t.Helper()
	return kafkatest.Record(f.t, f.codec, e, func(env *event.Envelope) { env.ID, env.AggregateVersion = id, version })
}

func collected(parcel string) sample.ParcelCollected {
	return sample.ParcelCollected{ParcelID: parcel, OccurredAt: time.Now().UTC()}
}

func confirmed(parcel string) sample.ParcelLabelled {
	return sample.ParcelLabelled{ParcelID: parcel, LabelID: "TRK", OccurredAt: time.Now().UTC()}
}

// counter returns a metric's value for the given labels, summed over the others.
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
			sum += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}
