package parked

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"eventshop.example/bench/infra"
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/relay"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/retry"
)

const (
	group = "bench"
	topic = events.TopicOrderEvents
	// tooLong ends a run that makes no progress.
	tooLong = 5 * time.Minute
)

type fate int

const (
	fine fate = iota
	once
	always
)

// draw creates the records, which are the same for all runs: the keys in turn, and the fate of each
// record from a fixed seed.
func (b *Bench) draw(ctx context.Context) error {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range b.cfg.Records {
		key, version := fmt.Sprintf("order-%05d", i%b.cfg.Keys), int64(i/b.cfg.Keys+1)
		value, err := b.infra.Codec.Encode(ctx, events.OrderDelivered{OrderID: key, OccurredAt: time.Now().UTC()})
		if err != nil {
			return err
		}
		env := event.Envelope{
			ID: uuid.Must(uuid.NewV7()), Source: "/bench", Type: "OrderDelivered", Subject: key, AggregateVersion: version,
			Time: time.Now().UTC(), ContentType: event.ContentTypeAvro,
		}
		r := &kgo.Record{Topic: topic, Key: []byte(key), Value: value}
		for _, h := range env.Headers() {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		b.records = append(b.records, r)
		switch n := rnd.Float64(); {
		case n < b.cfg.Always:
			b.fate[name(key, version)] = always
		case n < b.cfg.Always+b.cfg.Once:
			b.fate[name(key, version)] = once
		}
	}
	return nil
}

func name(key string, version int64) string { return fmt.Sprintf("%s/%d", key, version) }

// Run consumes all records with an empty database and its own broker.
func (b *Bench) Run(ctx context.Context, failures bool) (r Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, tooLong)
	defer cancel()
	orders, err := infra.Topic(topic)
	if err != nil {
		return r, err
	}
	run, err := b.infra.NewRun(ctx, tables, []event.Topic{orders, event.RetryTopic(topic, group), event.DeadLetterTopic(topic, group)},
		outbox.Component(), inbox.Component(), retry.Component())
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, run.Close(ctx)) }()
	if err := run.Produce(ctx, b.records); err != nil {
		return r, err
	}
	codec := b.infra.Codec
	c, err := consumer.New(consumer.Config{
		Group: group, Brokers: run.Brokers, Pool: run.Pool, Types: codec.Types(), Decode: codec.Decode, Encodable: codec.Encodable,
		Outbox: run.Outbox, Retry: b.cfg.Retry, Registerer: prometheus.NewRegistry(),
		Subscriptions: []consumer.Subscription{consumer.On(b.effects(failures), func(e consumer.Event[events.OrderDelivered]) consumer.Event[events.OrderDelivered] { return e })},
	})
	if err != nil {
		return r, err
	}
	relay := relay.New(run.Pool, run.Outbox, relay.Config{Brokers: run.Brokers})
	work, stop := context.WithCancel(ctx)
	defer stop()
	var parts errgroup.Group
	parts.Go(func() error { return relay.Run(work) })
	parts.Go(func() error { return c.Run(work) })
	err = b.await(ctx, run.Pool)
	stop()
	if err := errors.Join(err, parts.Wait()); err != nil {
		return r, err
	}
	return b.judge(ctx, run.Pool, failures)
}

const tables = `
	CREATE TABLE effects (n bigserial PRIMARY KEY, order_id text NOT NULL, version bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
	CREATE TABLE aggregates (order_id text PRIMARY KEY, version bigint NOT NULL)`

// effects is a typical small model: it reads and writes the aggregate's version, and records the
// effect with its position among all effects.
func (b *Bench) effects(failures bool) *reaction.Model[version, consumer.Event[events.OrderDelivered]] {
	return &reaction.Model[version, consumer.Event[events.OrderDelivered]]{
		Load: func(ctx context.Context, tx pgx.Tx, steps []reaction.Step[consumer.Event[events.OrderDelivered]]) (reaction.Set[version], error) {
			set := &versions{now: map[string]version{}}
			rows, err := tx.Query(ctx, `SELECT order_id, version FROM aggregates WHERE order_id = ANY ($1) ORDER BY order_id FOR UPDATE`, reaction.Keys(steps))
			if err != nil {
				return nil, err
			}
			var key string
			var v version
			_, err = pgx.ForEachRow(rows, []any{&key, &v}, func() error { set.now[key] = v; return nil })
			return set, err
		},
		Decide: func(_ version, s reaction.Step[consumer.Event[events.OrderDelivered]]) (reaction.Decision[version], error) {
			e := s.Input
			if failures {
				if f := b.fate[name(e.Data.OrderID, e.AggregateVersion)]; f == always || f == once && e.Attempt == 1 {
					return reaction.Decision[version]{}, errors.New("this record is to fail")
				}
			}
			return reaction.Decision[version]{State: version(e.AggregateVersion), Changed: true}, nil
		},
	}
}

// version is the state of an aggregate: the version of its last event.
type version int64

// versions is a set of aggregates.
type versions struct {
	now     map[string]version
	effects []effect
}

type effect struct {
	order   string
	version version
}

func (v *versions) Get(key string) version { return v.now[key] }

func (v *versions) Put(key string, now version) {
	v.now[key] = now
	v.effects = append(v.effects, effect{key, now})
}

func (v *versions) Save(ctx context.Context, tx pgx.Tx) error {
	var keys []string
	var now []int64
	last := map[string]version{}
	for _, e := range v.effects {
		keys, now = append(keys, e.order), append(now, int64(e.version))
		last[e.order] = e.version
	}
	_, err := tx.Exec(ctx, `INSERT INTO effects (order_id, version)
		SELECT k, v FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS n (k, v, i) ORDER BY i`, keys, now)
	if err != nil {
		return err
	}
	keys, now = nil, nil
	for _, key := range slices.Sorted(maps.Keys(last)) {
		keys, now = append(keys, key), append(now, int64(last[key]))
	}
	_, err = tx.Exec(ctx, `INSERT INTO aggregates (order_id, version) SELECT unnest($1::text[]), unnest($2::bigint[])
		ON CONFLICT (order_id) DO UPDATE SET version = excluded.version`, keys, now)
	return err
}
