package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/bench/infra"
	"eventshop.example/bench/measure"
	"eventshop.example/bench/report"
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/retry"
)

// The peers of the consumer. They use the same model and the same tables.
const (
	inSets = "sets"       // transactions of 500 messages, without Kafka: one statement per table
	single = "per record" // a transaction per message, without Kafka
)

// batch is the consumer's largest batch, and the size of the sets.
const batch = 500

const benchGroup = "bench"

// delivery is the event that the benchmarked model reacts to.
type delivery = consumer.Event[events.OrderDelivered]

// consume measures a reaction that writes two rows and an event per message.
func consume(ctx context.Context, e *env, r *report.Result) error {
	r.Sides = []string{report.Ours, inSets, single}
	in, err := infra.Open(ctx, e.dir, events.TypeOf[events.OrderDelivered](), events.TypeOf[events.OrderShipped]())
	if err != nil {
		return err
	}
	n := e.size(5_000, 30_000)
	messages, err := deliveries(ctx, in, n)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	sides := workOf(in)
	for round := range e.rounds {
		for _, side := range measure.Turns(round, r.Sides) {
			e.progress.Step("consumer, round %d of %d, %s", round+1, e.rounds, side)
			part := messages
			if side == single {
				part = messages[:n/5] // it is slow
			}
			if err := e.consumeOnce(ctx, r, in, side, part, sides[side]); err != nil {
				return errors.Join(fmt.Errorf("round %d, %s: %w", round+1, side, err), in.Close())
			}
		}
	}
	r.Row("messages", "messages/s", report.Rate).Aim("≥ 0.7 of sets, ≥ 20 × per record")
	return in.Close()
}

// work consumes the messages of one run.
type work func(ctx context.Context, run *infra.Run, c *consumption) error

// workOf returns what each side does.
func workOf(in *infra.Infra) map[string]work {
	return map[string]work{
		report.Ours: func(ctx context.Context, run *infra.Run, c *consumption) error { return c.byConsumer(ctx, in, run) },
		inSets:      func(ctx context.Context, run *infra.Run, c *consumption) error { return c.bySets(ctx, run, batch) },
		single:      func(ctx context.Context, run *infra.Run, c *consumption) error { return c.bySets(ctx, run, 1) },
	}
}

func (e *env) consumeOnce(ctx context.Context, r *report.Result, in *infra.Infra, side string, messages []message, do work) error {
	topic, err := infra.Topic(events.TopicOrderEvents)
	if err != nil {
		return err
	}
	run, err := in.NewRun(ctx, consumeTables,
		[]event.Topic{topic, event.RetryTopic(topic.Name, benchGroup), event.DeadLetterTopic(topic.Name, benchGroup)},
		outbox.Component(), inbox.Component(), retry.Component())
	if err != nil {
		return err
	}
	defer run.Close(ctx)
	c := &consumption{messages: messages, over: make(chan struct{})}
	if side == report.Ours {
		if err := run.Produce(ctx, c.records()); err != nil {
			return err
		}
	}
	m, err := in.Server.Meter(ctx, map[string]int{"this process": os.Getpid()})
	if err != nil {
		return err
	}
	if err := do(ctx, run, c); err != nil {
		return err
	}
	u, err := m.Read(ctx)
	if err != nil {
		return err
	}
	if err := c.check(ctx, run); err != nil {
		return err
	}
	u.Statements = map[string]int64{run.Name: u.Statements[run.Name]}
	r.Row("messages", "messages/s", report.Rate).Add(side, float64(len(messages))/c.took().Seconds())
	costs(r, side, "message", u, len(messages))
	return nil
}

const consumeTables = `
	CREATE TABLE effects (n bigserial PRIMARY KEY, order_id text NOT NULL, version bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
	CREATE TABLE aggregates (order_id text PRIMARY KEY, version bigint NOT NULL)`

// message is a record and what it decodes to.
type message struct {
	record   *kgo.Record
	delivery delivery
}

// deliveries returns n messages of n/10 orders in turn, the same for all runs.
func deliveries(ctx context.Context, in *infra.Infra, n int) ([]message, error) {
	all := make([]message, n)
	for i := range all {
		key := fmt.Sprintf("order-%06d", i%(n/10))
		d := events.OrderDelivered{OrderID: key, OccurredAt: time.Now().UTC()}
		value, err := in.Codec.Encode(ctx, d)
		if err != nil {
			return nil, err
		}
		env := event.Envelope{
			ID: uuid.Must(uuid.NewV7()), Source: "/bench", Type: "OrderDelivered", Subject: key, AggregateVersion: int64(i/(n/10) + 1),
			Time: time.Now().UTC(), ContentType: event.ContentTypeAvro,
		}
		rec := &kgo.Record{Topic: events.TopicOrderEvents, Key: []byte(key), Value: value}
		for _, h := range env.Headers() {
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		all[i] = message{rec, delivery{Envelope: env, Data: d}}
	}
	return all, nil
}

// consumption is one run.
type consumption struct {
	messages  []message
	committed atomic.Int64
	began     time.Time     // of the first decision
	ended     time.Time     // after the last commit
	once      sync.Once     // began is set
	over      chan struct{} // closed after the last commit
}

func (c *consumption) took() time.Duration { return c.ended.Sub(c.began) }

func (c *consumption) records() []*kgo.Record {
	all := make([]*kgo.Record, len(c.messages))
	for i, m := range c.messages {
		all[i] = m.record
	}
	return all
}

// byConsumer consumes the records of the topic.
func (c *consumption) byConsumer(ctx context.Context, in *infra.Infra, run *infra.Run) error {
	reader, err := consumer.New(consumer.Config{
		Group: benchGroup, Brokers: run.Brokers, Pool: run.Pool, Types: in.Codec.Types(), Decode: in.Codec.Decode,
		Encodable: in.Codec.Encodable, Outbox: run.Outbox, MaxBatch: batch,
		Subscriptions: []consumer.Subscription{consumer.On(c.model(run), func(d delivery) delivery { return d })},
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- reader.Run(ctx) }()
	select {
	case <-c.over:
	case <-ctx.Done():
	case err := <-ended:
		return errors.Join(errors.New("the consumer has ended"), err)
	}
	stop()
	return <-ended
}

// bySets writes the same rows without Kafka, in transactions of size messages.
func (c *consumption) bySets(ctx context.Context, run *infra.Run, size int) error {
	model := c.model(run)
	for set := range slices.Chunk(c.messages, size) {
		var decisions []reaction.Decision[int64]
		err := postgres.InTx(ctx, run.Pool, func(tx pgx.Tx) error {
			received, steps := make([]inbox.Message, len(set)), make([]reaction.Step[delivery], len(set))
			for i, m := range set {
				received[i] = inbox.Message{ID: m.delivery.ID, Type: m.delivery.Type}
				steps[i] = model.Step(m.delivery.Data.OrderID, m.delivery, m.delivery.Cause())
			}
			if _, err := inbox.Receive(ctx, tx, benchGroup, received); err != nil {
				return err
			}
			var err error
			decisions, err = model.Run(ctx, tx, steps...)
			return err
		})
		if err != nil {
			return err
		}
		reaction.Committed(ctx, decisions...)
	}
	return nil
}

// model reads and writes an order's version, records the effect, and publishes an event.
func (c *consumption) model(run *infra.Run) *reaction.Model[int64, delivery] {
	return &reaction.Model[int64, delivery]{
		Outbox: run.Outbox,
		Load: func(ctx context.Context, tx pgx.Tx, steps []reaction.Step[delivery]) (reaction.Set[int64], error) {
			set := &versions{now: map[string]int64{}}
			rows, err := tx.Query(ctx, `SELECT order_id, version FROM aggregates WHERE order_id = ANY ($1) ORDER BY order_id FOR UPDATE`, reaction.Keys(steps))
			if err != nil {
				return nil, err
			}
			var key string
			var v int64
			_, err = pgx.ForEachRow(rows, []any{&key, &v}, func() error { set.now[key] = v; return nil })
			return set, err
		},
		Decide: func(_ int64, s reaction.Step[delivery]) (reaction.Decision[int64], error) {
			c.once.Do(func() { c.began = time.Now() })
			v := s.Input.AggregateVersion
			return reaction.Decision[int64]{
				State: v, Changed: true,
				Events: []outbox.Entry{{
					Event: events.OrderShipped{OrderID: s.Key, OccurredAt: s.At}, AggregateID: s.Key, Version: v, Cause: s.Cause,
				}},
				Committed: func(context.Context) {
					if c.committed.Add(1) == int64(len(c.messages)) {
						c.ended = time.Now()
						close(c.over)
					}
				},
			}, nil
		},
	}
}

// versions is a set of orders' versions.
type versions struct {
	now    map[string]int64
	orders []string
	each   []int64
}

func (v *versions) Get(key string) int64 { return v.now[key] }

func (v *versions) Put(key string, now int64) {
	v.now[key] = now
	v.orders, v.each = append(v.orders, key), append(v.each, now)
}

func (v *versions) Save(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `INSERT INTO effects (order_id, version)
		SELECT k, v FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS n (k, v, i) ORDER BY i`, v.orders, v.each)
	if err != nil {
		return err
	}
	last := map[string]int64{}
	for i, key := range v.orders {
		last[key] = v.each[i]
	}
	var keys []string
	var now []int64
	for _, key := range slices.Sorted(maps.Keys(last)) {
		keys, now = append(keys, key), append(now, last[key])
	}
	_, err = tx.Exec(ctx, `INSERT INTO aggregates (order_id, version) SELECT unnest($1::text[]), unnest($2::bigint[])
		ON CONFLICT (order_id) DO UPDATE SET version = excluded.version`, keys, now)
	return err
}

// check fails when a message had no effect, or two.
func (c *consumption) check(ctx context.Context, run *infra.Run) error {
	var effects, distinct, published int
	err := run.Pool.QueryRow(ctx, `SELECT count(*), count(DISTINCT (order_id, version)), (SELECT count(*) FROM outbox) FROM effects`).
		Scan(&effects, &distinct, &published)
	if n := len(c.messages); err == nil && (effects != n || distinct != n || published != n) {
		err = fmt.Errorf("%d messages had %d effects, %d of them different, and %d events", n, effects, distinct, published)
	}
	return err
}
