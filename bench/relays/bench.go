package relays

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"eventshop.example/lab/cdcstack"
	"eventshop.example/local/broker"
	"eventshop.example/local/registry"
	"eventshop.example/ops/connect"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/capture"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
	"eventshop.example/pkg/schema"
)

// bench is shared by all runs.
type bench struct {
	dir      string
	stack    *cdcstack.Stack
	registry string // URL
	codec    *schema.Codec
	stop     context.CancelFunc
	ended    errgroup.Group
	runs     int
}

func newBench(ctx context.Context, say func(string)) (b *bench, err error) {
	b = &bench{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.dir, err = os.MkdirTemp("", "eventshop-bench-"); err != nil {
		return b, err
	}
	if b.stack, err = cdcstack.Start(ctx, b.dir, say); err != nil {
		return b, err
	}
	port, err := server.FreePort()
	if err != nil {
		return b, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	b.registry = "http://" + addr
	own, stop := context.WithCancel(ctx)
	b.stop = stop
	b.ended.Go(func() error {
		return registry.Run(own, registry.Config{Addr: addr, DataDir: filepath.Join(b.dir, "registry")})
	})
	b.codec = schema.NewCodec(schema.NewClient(b.registry), events.Catalogue())
	if err := until(ctx, func() error { return b.codec.Register(ctx, events.TypeOf[events.OrderCreated]()) }); err != nil {
		return b, err
	}
	var topic event.Topic
	for _, t := range events.Topics() {
		if t.Name == events.TopicOrderEvents {
			topic = t
		}
	}
	return b, broker.CreateTopics(ctx, kafka.Cluster{Brokers: b.stack.Brokers}, topic)
}

func (b *bench) close() error {
	if b.stop != nil {
		b.stop()
	}
	err := b.ended.Wait()
	if b.stack != nil {
		err = errors.Join(err, b.stack.Close())
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// run is one run, with its own database and, with Debezium, a connector.
type run struct {
	*bench
	mode capture.Mode
	name string // of database, service and connector
	pool *pgxpool.Pool
	out  *outbox.Outbox
	conn connect.Connector
}

func (b *bench) newRun(ctx context.Context, mode capture.Mode) (r *run, err error) {
	b.runs++
	r = &run{bench: b, mode: mode, name: fmt.Sprintf("run%d", b.runs)}
	if err := b.admin(ctx, `CREATE DATABASE `+r.name); err != nil {
		return r, err
	}
	if err := postgres.Migrate(ctx, r.url(), outbox.Component()); err != nil {
		return r, err
	}
	if r.pool, err = postgres.Open(ctx, postgres.Config{URL: r.url()}); err != nil {
		return r, err
	}
	r.out = outbox.New(outbox.Config{Source: "/bench", Types: b.codec.Types(), Encode: b.codec.Encode, CanEncode: b.codec.CanEncode})
	if mode != capture.Debezium {
		return r, nil
	}
	admin, err := url.Parse(b.stack.AdminURL)
	if err != nil {
		return r, err
	}
	password, _ := admin.User.Password()
	r.conn = connect.Connector{
		Service: r.name, Host: "127.0.0.1", Port: b.stack.PostgresPort, Database: r.name, User: admin.User.Username(), Password: password, Slot: r.name,
	}
	return r, r.capture(ctx)
}

// capture prepares Debezium: the slot contains everything from now on, and its connector is created
// but does not run yet.
func (r *run) capture(ctx context.Context) error {
	if err := broker.CreateTopics(ctx, kafka.Cluster{Brokers: r.stack.Brokers}, connect.HeartbeatTopic(r.name)); err != nil {
		return err
	}
	var lsn int64
	if _, err := r.pool.Exec(ctx, `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, r.name); err != nil {
		return err
	}
	err := r.pool.QueryRow(ctx, `SELECT pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::bigint FROM pg_replication_slots WHERE slot_name = $1`, r.name).Scan(&lsn)
	if err != nil {
		return err
	}
	c := r.stack.Connect
	if err := c.CreateStopped(ctx, r.conn.Name(), r.conn.Settings()); err != nil {
		return err
	}
	if err := c.AwaitStopped(ctx, r.conn.Name()); err != nil {
		return err
	}
	if err := c.Begin(ctx, r.conn, lsn); err != nil {
		return err
	}
	return capture.SetMode(ctx, r.pool, capture.Debezium, r.name, "bench")
}

// relay starts the relay: the service's process, and the connector.
func (r *run) relay(ctx context.Context) (*service, error) {
	s, err := startService(ctx, r.url(), r.registry, r.stack.Brokers[0])
	if err == nil && r.mode == capture.Debezium {
		err = r.stack.Connect.Resume(ctx, r.conn.Name())
	}
	return s, err
}

// end removes everything that would slow down a later run.
func (r *run) end(ctx context.Context) error {
	if r.mode == capture.Debezium {
		if err := r.stack.Connect.Stop(ctx, r.conn.Name()); err != nil {
			return err
		}
		if err := r.stack.Connect.Delete(ctx, r.conn.Name()); err != nil {
			return err
		}
		err := until(ctx, func() error {
			_, err := r.pool.Exec(ctx, `SELECT pg_drop_replication_slot($1)`, r.name)
			return err
		})
		if err != nil {
			return err
		}
	}
	r.pool.Close()
	return r.admin(ctx, `DROP DATABASE `+r.name+` WITH (FORCE)`)
}

func (r *run) url() string {
	u, err := url.Parse(r.stack.AdminURL)
	if err != nil {
		return err.Error() // cannot fail: it was parsed when the server was started
	}
	u.Path = "/" + r.name
	return u.String()
}

func (b *bench) admin(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, b.stack.AdminURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// until repeats an action that may fail for a while, until the context ends.
func until(ctx context.Context, do func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
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
