package projection_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
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
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/projection"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

const group = "readers"

// fact is what an accepted parcel means to the read models.
type fact struct {
	id             uuid.UUID
	topic          string
	partition      int32
	offset         int64
	parcel         string
	currency, city string
	amount         int64
}

func onParcelAccepted(e consumer.Event[sample.ParcelAccepted]) fact {
	return fact{
		id: e.ID, topic: e.Topic, partition: e.Partition, offset: e.Offset, parcel: e.Data.ParcelID,
		currency: e.Data.Currency, city: e.Data.Address.City, amount: e.Data.TotalAmount,
	}
}

// totals is the rows of all versions: what is added per currency, and in version 2 per city.
type totals struct {
	sql  string
	sums map[[2]string][2]int64
}

func (r totals) Save(ctx context.Context, tx pgx.Tx) error {
	var currencies, cities []string
	var amounts, counts []int64
	for k, v := range r.sums {
		currencies, cities = append(currencies, k[0]), append(cities, k[1])
		amounts, counts = append(amounts, v[0]), append(counts, v[1])
	}
	args := []any{currencies, amounts, counts}
	if r.sql == totals2 {
		args = append(args, cities)
	}
	_, err := postgres.Later(tx, func(err error) error { return err }).Exec(ctx, r.sql, args...)
	return err
}

const (
	totals1 = `INSERT INTO totals AS t (currency, amount, parcels)
		SELECT currency, sum(amount), sum(parcels) FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS n (currency, amount, parcels)
		GROUP BY currency ORDER BY currency
		ON CONFLICT (currency) DO UPDATE SET amount = t.amount + excluded.amount, parcels = t.parcels + excluded.parcels`
	totals2 = `INSERT INTO totals AS t (currency, city, amount, parcels)
		SELECT currency, city, sum(amount), sum(parcels) FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) AS n (currency, amount, parcels, city)
		GROUP BY currency, city ORDER BY currency, city
		ON CONFLICT (currency, city) DO UPDATE SET amount = t.amount + excluded.amount, parcels = t.parcels + excluded.parcels`
)

// fixture is a service with a projection "totals" in two versions, the first of them a base version.
type fixture struct {
	t        *testing.T
	pool     *pgxpool.Pool
	brokers  []string
	codec    *schema.Codec
	outbox   *outbox.Outbox
	failed   *retry.Store
	fails    atomic.Value // string: a city that the fold of version 2 refuses
	produced atomic.Int64
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	t.Parallel()
	registry := schematest.Start(t)
	f := &fixture{t: t, pool: pgtest.NewDB(t, outbox.Component(), inbox.Component(), retry.Component(), position.Component(),
		projection.Component(), base(), further())}
	f.fails.Store("")
	topics := sample.Topics()
	for _, topic := range sample.Topics() {
		topics = append(topics, event.RetryTopic(topic.Name, group), event.DeadLetterTopic(topic.Name, group))
	}
	f.brokers = kafkatest.Start(t, topics...)
	f.codec = schema.NewCodec(schema.NewClient(registry.URL), sample.Catalogue())
	if err := f.codec.Register(t.Context(), sample.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	f.outbox = outbox.New(outbox.Config{Source: "/test", Types: f.codec.Types(), Encode: f.codec.Encode})
	f.failed = retry.New(group, f.outbox)
	return f
}

func base() postgres.Component {
	return postgres.Component{Name: "lockers", FS: fstest.MapFS{"1_base.sql": {Data: []byte(`-- +goose Up
CREATE TABLE accepted (key text, event_id uuid, PRIMARY KEY (key, event_id));
CREATE TABLE totals (currency text PRIMARY KEY, amount bigint NOT NULL, parcels bigint NOT NULL);
`)}}}
}

func further() postgres.Component {
	return postgres.Component{Name: "totals_v2", Schema: "totals_v2", FS: fstest.MapFS{"1_totals.sql": {Data: []byte(`-- +goose Up
CREATE SCHEMA totals_v2;
SET LOCAL search_path TO totals_v2, public;
CREATE TABLE totals (currency text, city text, amount bigint NOT NULL CHECK (amount < 1000000), parcels bigint NOT NULL, PRIMARY KEY (currency, city));
`)}}}
}

func (f *fixture) versions() []projection.Version[fact] {
	fold := func(sql string, city bool) func([]projection.Event[fact]) (projection.Rows, error) {
		return func(events []projection.Event[fact]) (projection.Rows, error) {
			rows := totals{sql, map[[2]string][2]int64{}}
			for _, e := range events {
				k := [2]string{e.Fact.currency}
				if city {
					if k[1] = e.Fact.city; k[1] == f.fails.Load() && k[1] != "" {
						return nil, fmt.Errorf("%s is not on the map", k[1])
					}
				}
				sum := rows.sums[k]
				rows.sums[k] = [2]int64{sum[0] + e.Fact.amount, sum[1] + 1}
			}
			return rows, nil
		}
	}
	return []projection.Version[fact]{{
		Projection: "totals", Number: 1, Base: true, Tables: []string{"totals"}, Fold: fold(totals1, false),
		Comparisons: []projection.Comparison{{Name: "by currency", Query: `SELECT currency, concat_ws(' ', amount, parcels) FROM totals`}},
	}, {
		Projection: "totals", Number: 2, Tables: []string{"totals"}, Fold: fold(totals2, true),
		Comparisons: []projection.Comparison{{Name: "by currency", Query: `SELECT currency, concat_ws(' ', sum(amount), sum(parcels)) FROM totals GROUP BY currency`}},
		Differences: []string{"cities are new"},
	}}
}

// set returns the projections as one process has them.
func (f *fixture) set(change ...func(*projection.Config[fact])) (*projection.Set[fact], *reaction.Model[collected, fact]) {
	f.t.Helper()
	var set *projection.Set[fact]
	model := &reaction.Model[collected, fact]{
		Load: func(context.Context, pgx.Tx, []reaction.Step[fact]) (reaction.Set[collected], error) {
			return &collecting{save: func(ctx context.Context, tx pgx.Tx, events []projection.Event[fact]) error {
				return set.Save(ctx, tx, events)
			}}, nil
		},
		Decide: func(_ collected, s reaction.Step[fact]) (reaction.Decision[collected], error) {
			return reaction.Decision[collected]{State: collected{s.Input}, Changed: true}, nil
		},
	}
	replay, err := consumer.NewReplay(consumer.Config{
		Types: f.codec.Types(), Decode: f.codec.Decode, Subscriptions: []consumer.Subscription{consumer.On(model, onParcelAccepted)},
	}, model)
	if err != nil {
		f.t.Fatal(err)
	}
	cfg := projection.Config[fact]{
		Group: group, Versions: f.versions(), Pool: f.pool, Brokers: f.brokers, Topics: []string{sample.TopicParcelEvents}, Failed: f.failed,
		Every: 20 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Base: func(ctx context.Context, tx pgx.Tx, events []projection.Event[fact]) ([]projection.Event[fact], error) {
			var keys []string
			var ids []uuid.UUID
			of := map[uuid.UUID]projection.Event[fact]{}
			for _, e := range events {
				keys, ids = append(keys, e.Key), append(ids, e.ID)
				of[e.ID] = e
			}
			rows, err := tx.Query(ctx, `INSERT INTO accepted SELECT * FROM unnest($1::text[], $2::uuid[]) ON CONFLICT DO NOTHING RETURNING event_id`, keys, ids)
			if err != nil {
				return nil, err
			}
			added, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
			var fresh []projection.Event[fact]
			for _, id := range added {
				fresh = append(fresh, of[id])
			}
			return fresh, err
		},
		Read: func(ctx context.Context, r *kgo.Record) (e projection.Event[fact], ok bool, err error) {
			read, ok, err := replay.Read(ctx, r)
			return projection.Event[fact]{Key: read.Key, ID: read.ID, Fact: read.Input}, ok, err
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	if set, err = projection.New(cfg); err != nil {
		f.t.Fatal(err)
	}
	return set, model
}

// collected and collecting are the state and the set of the model: the facts of a transaction.
type collected struct{ fact }

type collecting struct {
	events []projection.Event[fact]
	save   func(context.Context, pgx.Tx, []projection.Event[fact]) error
}

func (c *collecting) Get(string) collected { return collected{} }
func (c *collecting) Put(key string, s collected) {
	c.events = append(c.events, projection.Event[fact]{Key: key, ID: s.id, Topic: s.topic, Partition: s.partition, Offset: s.offset, Fact: s.fact})
}
func (c *collecting) Save(ctx context.Context, tx pgx.Tx) error { return c.save(ctx, tx, c.events) }

// reader returns the group's reader; without a set it is that of a release without versions.
func (f *fixture) reader(set *projection.Set[fact], model *reaction.Model[collected, fact]) consumer.Config {
	cfg := consumer.Config{
		Group: group, Brokers: f.brokers, Pool: f.pool, Types: f.codec.Types(), Decode: f.codec.Decode, Outbox: f.outbox, Positions: true,
		Subscriptions: []consumer.Subscription{consumer.On(model, onParcelAccepted)}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if set != nil {
		cfg.Advanced, cfg.Without = set.Advanced, set.Without
	}
	return cfg
}

// read runs the group's reader until stop is called.
func (f *fixture) read(set *projection.Set[fact], model *reaction.Model[collected, fact]) (stop func()) {
	f.t.Helper()
	return f.run(f.reader(set, model))
}

func (f *fixture) run(cfg consumer.Config) (stop func()) {
	f.t.Helper()
	c, err := consumer.New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.start(c.Run)
}

// relay publishes the outbox, with the retry records, until the test ends.
func (f *fixture) relay() {
	f.t.Helper()
	f.start(relay.New(f.pool, f.outbox, relay.Config{Brokers: f.brokers, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}).Run)
}

// start runs something until stop is called, or the test ends.
func (f *fixture) start(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			f.t.Errorf("Run = %v", err)
		}
	}
	f.t.Cleanup(stop)
	return stop
}

// accept produces n parcels.
func (f *fixture) accept(n int, city string) {
	f.t.Helper()
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = f.parcel(city, 5)
	}
	f.produce(records...)
}

func (f *fixture) parcel(city string, amount int64) *kgo.Record {
	return kafkatest.Record(f.t, f.codec, sample.ParcelAccepted{
		ParcelID: uuid.NewString(), Currency: "GBP", TotalAmount: amount, Address: sample.Address{City: city},
		Items: []sample.Item{}, CollectBy: time.Unix(0, 0).UTC(), OccurredAt: time.Unix(0, 0).UTC(),
	})
}

func (f *fixture) produce(records ...*kgo.Record) {
	f.t.Helper()
	kafkatest.Produce(f.t, f.brokers, records...)
	f.produced.Add(int64(len(records)))
}

// handled waits until the reader has handled everything that was produced.
func (f *fixture) handled() {
	f.t.Helper()
	kafkatest.Eventually(f.t, "the reader", func() bool {
		return f.number(`SELECT coalesce(sum(next_offset), 0) FROM consumer_positions`) == f.produced.Load()
	})
}

// becomes waits for a version's state.
func (f *fixture) becomes(set *projection.Set[fact], number int, state projection.State) projection.Status {
	f.t.Helper()
	var got projection.Status
	kafkatest.Eventually(f.t, fmt.Sprintf("version %d to be %s", number, state), func() bool {
		all, err := set.List(f.t.Context())
		if err != nil {
			f.t.Fatal(err)
		}
		for _, s := range all {
			if s.Version == number {
				got = s
			}
		}
		return got.State == state
	})
	return got
}

func (f *fixture) number(sql string, args ...any) (n int64) {
	f.t.Helper()
	if err := f.pool.QueryRow(f.t.Context(), sql, args...).Scan(&n); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// count returns the parcels that a version contains.
func (f *fixture) count(schema string) int64 {
	f.t.Helper()
	return f.number(`SELECT coalesce(sum(parcels), 0)::bigint FROM ` + schema + `.totals`)
}
