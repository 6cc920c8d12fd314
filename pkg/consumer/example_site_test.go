package consumer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kfake"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/relay"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/retry"
)

func TestMain(m *testing.M) {
	if err := pgtest.SkipExamples(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// lockerGroup is the consumer group of the examples.
const lockerGroup = "lockers"

// site is what the examples of this package run on: a broker, and a service's database with outbox,
// inbox, retries and a table of parcels. Events are JSON, so that no registry is needed.
type site struct {
	ctx     context.Context
	pool    *pgxpool.Pool
	brokers []string
	out     *outbox.Outbox
	done    chan string // lines of reactions that have committed
}

// check ends an example that cannot go on.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// newSite starts a broker and a relay. They end with the returned function.
func newSite() (*site, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	pool, drop, err := pgtest.ExampleDB(ctx, outbox.Component(), inbox.Component(), retry.Component())
	check(err)
	_, err = pool.Exec(ctx, `CREATE TABLE parcels (id text PRIMARY KEY, status text NOT NULL DEFAULT '')`)
	check(err)
	topic := sample.TopicParcelEvents
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(event.Partitions, topic, sample.TopicParcelNotifications,
		event.RetryTopic(topic, lockerGroup).Name, event.DeadLetterTopic(topic, lockerGroup).Name))
	check(err)
	s := &site{ctx: ctx, pool: pool, brokers: broker.ListenAddrs(), done: make(chan string, 100)}
	s.out = outbox.New(outbox.Config{
		Source: "/lockers", Types: sample.Catalogue(),
		Encode: func(_ context.Context, e event.Event) ([]byte, error) { return json.Marshal(e) },
	})
	publisher := relay.New(pool, s.out, relay.Config{Brokers: s.brokers, Logger: slog.New(slog.DiscardHandler)})
	stopped := make(chan error, 1)
	go func() { stopped <- publisher.Run(ctx) }()
	return s, func() {
		cancel()
		<-stopped
		broker.Close()
		drop()
	}
}

// publish publishes events in their order, each as a fact of its own.
func (s *site) publish(events ...event.Event) {
	for i, e := range events {
		check(postgres.InTx(s.ctx, s.pool, func(tx pgx.Tx) error {
			return s.out.Append(s.ctx, tx, outbox.Entry{Event: e, Version: int64(i + 1)})
		}))
	}
	s.out.Wake()
}

// consume runs a consumer with the subscriptions until stop is called.
func (s *site) consume(subscriptions ...consumer.Subscription) (stop func()) {
	c, err := consumer.New(consumer.Config{
		Group: lockerGroup, Brokers: s.brokers, Pool: s.pool, Outbox: s.out, Types: sample.Catalogue(),
		Decode: func(_ context.Context, t event.Type, value []byte) (event.Event, error) {
			e := t.New()
			return e, json.Unmarshal(value, e)
		},
		Subscriptions: subscriptions,
		Backoff:       consumer.Backoff{Base: 5 * time.Millisecond}, // short, for an example
		Logger:        slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	check(err)
	ctx, cancel := context.WithCancel(s.ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- c.Run(ctx) }()
	return func() {
		cancel()
		check(<-stopped)
	}
}

// committed returns the next line of a reaction that has committed.
func (s *site) committed() string {
	select {
	case line := <-s.done:
		return line
	case <-time.After(kafkatest.Patience):
		panic("no reaction has committed")
	}
}

// says returns what a decision does after its commit: a line for [site.committed].
func (s *site) says(line string) func(context.Context) {
	return func(context.Context) { s.done <- line }
}

// status returns the status of a parcel.
func (s *site) status(id string) (status string) {
	check(s.pool.QueryRow(s.ctx, `SELECT status FROM parcels WHERE id = $1`, id).Scan(&status))
	return status
}

// model returns a model of parcels whose state and input are texts. The examples differ in how they
// decide.
func (s *site) model(decide func(status string, step reaction.Step[string]) (reaction.Decision[string], error)) *reaction.Model[string, string] {
	return &reaction.Model[string, string]{Load: loadParcels, Look: lookParcels, Decide: decide, Outbox: s.out}
}

// parcels is a set of states.
type parcels struct {
	status  map[string]string
	changed map[string]bool
}

func (p *parcels) Get(id string) string         { return p.status[id] }
func (p *parcels) Put(id string, status string) { p.status[id], p.changed[id] = status, true }

func (p *parcels) Save(ctx context.Context, tx pgx.Tx) error {
	ids := slices.Collect(maps.Keys(p.changed))
	status := make([]string, len(ids))
	for i, id := range ids {
		status[i] = p.status[id]
	}
	_, err := tx.Exec(ctx, `UPDATE parcels SET status = n.status FROM unnest($1::text[], $2::text[]) AS n (id, status)
		WHERE parcels.id = n.id`, ids, status)
	return err
}

func loadParcels(ctx context.Context, tx pgx.Tx, steps []reaction.Step[string]) (reaction.Set[string], error) {
	ids := reaction.Keys(steps)
	if _, err := tx.Exec(ctx, `INSERT INTO parcels SELECT id FROM unnest($1::text[]) AS i (id) ORDER BY id ON CONFLICT DO NOTHING`, ids); err != nil {
		return nil, err
	}
	status, err := readParcels(ctx, tx, ids, ` FOR UPDATE`)
	return &parcels{status, map[string]bool{}}, err
}

func lookParcels(ctx context.Context, q postgres.Querier, ids []string) (map[string]string, error) {
	return readParcels(ctx, q, ids, "")
}

func readParcels(ctx context.Context, q postgres.Querier, ids []string, lock string) (map[string]string, error) {
	rows, err := q.Query(ctx, `SELECT id, status FROM parcels WHERE id = ANY($1) ORDER BY id`+lock, ids)
	found := map[string]string{}
	var id, status string
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&id, &status}, func() error { found[id] = status; return nil })
	}
	if err != nil {
		return nil, fmt.Errorf("read parcels: %w", err)
	}
	return found, nil
}
