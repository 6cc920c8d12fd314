// Package infra starts what a pattern of the kit needs to run in a benchmark's process: a durable
// database server, a schema registry, and a broker with empty topics per run.
//
// The broker is franz-go's kfake with its data in memory. It runs in the benchmark's process, so the
// processor time of that process contains the broker's.
package infra

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"eventshop.example/bench/database"
	"eventshop.example/local/broker"
	"eventshop.example/local/registry"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
	"eventshop.example/pkg/schema"
)

// Infra is the parts that all runs share. [Open] creates it.
type Infra struct {
	Server   *database.Server
	Registry string // URL
	Codec    *schema.Codec

	stop  context.CancelFunc
	ended errgroup.Group
	runs  int
}

// Open starts a database server and a registry, whose data is in dir. types are registered.
func Open(ctx context.Context, dir string, types ...event.Type) (in *Infra, err error) {
	own := &Infra{}
	defer func() {
		if err != nil {
			err = errors.Join(err, own.Close())
		}
	}()
	if own.Server, err = database.Start(ctx); err != nil {
		return nil, err
	}
	port, err := server.FreePort()
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	serving, stop := context.WithCancel(ctx)
	own.stop = stop
	own.ended.Go(func() error {
		return registry.Run(serving, registry.Config{Addr: addr, DataDir: filepath.Join(dir, "registry")})
	})
	own.Registry = "http://" + addr
	own.Codec = schema.NewCodec(schema.NewClient(own.Registry), events.Catalogue())
	if err := Until(ctx, func() error { return own.Codec.Register(ctx, types...) }); err != nil {
		return nil, err
	}
	return own, nil
}

// Close ends everything.
func (in *Infra) Close() error {
	if in.stop != nil {
		in.stop()
	}
	err := in.ended.Wait()
	if in.Server != nil {
		err = errors.Join(err, in.Server.Stop())
	}
	return err
}

// Run is an empty database and an empty broker.
type Run struct {
	Name    string // of the database
	URL     string // of the database
	Pool    *pgxpool.Pool
	Outbox  *outbox.Outbox
	Brokers []string

	server  *database.Server
	cluster *kfake.Cluster
}

// NewRun creates the database with the components and the statements of ddl, and a broker with the
// topics. The partitions of today exist, as in a service.
func (in *Infra) NewRun(ctx context.Context, ddl string, topics []event.Topic, components ...postgres.Component) (r *Run, err error) {
	in.runs++
	r = &Run{Name: fmt.Sprintf("run%d", in.runs), server: in.Server}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close(ctx))
			r = nil
		}
	}()
	if r.URL, err = in.Server.Create(ctx, r.Name, components...); err != nil {
		return r, err
	}
	if r.Pool, err = postgres.Open(ctx, postgres.Config{URL: r.URL, MaxConns: 12}); err != nil {
		return r, err
	}
	if _, err := r.Pool.Exec(ctx, ddl); err != nil {
		return r, err
	}
	r.Outbox = outbox.New(outbox.Config{Source: "/bench", Types: in.Codec.Types(), Encode: in.Codec.Encode, CanEncode: in.Codec.CanEncode})
	for _, c := range components {
		switch c.Name {
		case outbox.Component().Name:
			err = r.Outbox.Upkeep(r.Pool, 0).Prepare(ctx)
		case inbox.Component().Name:
			err = inbox.Upkeep(r.Pool, time.Now, 0).Prepare(ctx)
		}
		if err != nil {
			return r, err
		}
	}
	if r.cluster, err = kfake.NewCluster(kfake.NumBrokers(1)); err != nil {
		return r, err
	}
	r.Brokers = r.cluster.ListenAddrs()
	return r, broker.CreateTopics(ctx, kafka.Cluster{Brokers: r.Brokers}, topics...)
}

// Close drops the database and ends the broker.
func (r *Run) Close(ctx context.Context) error {
	if r.Pool != nil {
		r.Pool.Close()
	}
	if r.cluster != nil {
		r.cluster.Close()
	}
	return r.server.Drop(context.WithoutCancel(ctx), r.Name)
}

// Produce sends copies of the records and waits until the broker has them.
func (r *Run) Produce(ctx context.Context, records []*kgo.Record) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.Brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	fresh := make([]*kgo.Record, len(records)) // the client changes what it sends
	for i, rec := range records {
		fresh[i] = &kgo.Record{Topic: rec.Topic, Key: rec.Key, Value: rec.Value, Headers: rec.Headers}
	}
	return client.ProduceSync(ctx, fresh...).FirstErr()
}

// Ends counts the records of a topic.
type Ends struct {
	client *kgo.Client
	topic  string
}

// Ends returns a counter of a topic's records.
func (r *Run) Ends(topic string) (*Ends, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.Brokers...))
	return &Ends{client, topic}, err
}

// Count returns the number of records of the topic.
func (e *Ends) Count(ctx context.Context) (n int64, err error) {
	listed, err := kadm.NewClient(e.client).ListEndOffsets(ctx, e.topic)
	if err := errors.Join(err, listed.Error()); err != nil {
		return 0, err
	}
	listed.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n, nil
}

// Close ends the counter's client.
func (e *Ends) Close() { e.client.Close() }

// Topic returns a topic of the shop by its name.
func Topic(name string) (event.Topic, error) {
	for _, t := range events.Topics() {
		if t.Name == name {
			return t, nil
		}
	}
	return event.Topic{}, fmt.Errorf("the shop has no topic %s", name)
}

// Until repeats an action that may fail for a while, until the context ends.
func Until(ctx context.Context, do func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// Wait waits for a duration.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
