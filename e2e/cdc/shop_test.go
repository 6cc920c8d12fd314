package cdc

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/local/broker"
	"eventshop.example/ops/connect"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/relay"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// shop is a service with an outbox: a database with its roles, a topic, and later a connector.
type shop struct {
	w     *world
	name  string // of service and database
	topic string
	pool  *pgxpool.Pool // of the service's role
	url   string        // of the service's role
	cdc   string        // URL of the role that reads the log
	out   *outbox.Outbox
}

func (w *world) shop(t *testing.T, name string) *shop {
	t.Helper()
	roles := postgres.Roles{Owner: name + "_owner", App: name + "_app", CDC: name + "_cdc"}
	w.admin(t, "postgres",
		"CREATE ROLE "+roles.Owner, "CREATE ROLE "+name+"_migrator LOGIN PASSWORD 'test' IN ROLE "+roles.Owner,
		"CREATE ROLE "+roles.App+" LOGIN PASSWORD 'test'", "CREATE ROLE "+roles.CDC+" LOGIN REPLICATION PASSWORD 'test'",
		"CREATE DATABASE "+name+" OWNER "+roles.Owner)
	as := func(role string) string {
		u, err := url.Parse(w.adminURL)
		if err != nil {
			t.Fatal(err)
		}
		u.User, u.Path = url.UserPassword(role, "test"), "/"+name
		return u.String()
	}
	if err := postgres.Job(t.Context(), postgres.Config{URL: as(name + "_migrator")}, roles, outbox.Component()); err != nil {
		t.Fatal(err)
	}
	s := &shop{w: w, name: name, topic: name + ".events", url: as(roles.App), cdc: as(roles.CDC)}
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: s.url, MaxConns: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s.pool = pool
	if err := postgres.EnsurePartitions(t.Context(), pool, "outbox", time.Now(), time.Now().AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	if err := broker.CreateTopics(t.Context(), kafka.Cluster{Brokers: w.brokers}, event.Topic{Name: s.topic, Partitions: 6}, connect.HeartbeatTopic(name)); err != nil {
		t.Fatal(err)
	}
	codec := schema.NewCodec(schema.NewClient(schematest.Start(t).URL), events.Catalogue())
	s.out = outbox.New(outbox.Config{Source: "/eventshop/" + name, Types: codec.Types(), Encode: codec.Encode, CanEncode: codec.CanEncode})
	t.Cleanup(func() { // nothing is left that the next test's server would keep its log for
		ctx := context.Background()
		if err := w.connect.Delete(ctx, connect.NameOf(name)); err != nil {
			t.Error(err)
		}
		w.admin(t, "postgres", `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = '`+name+`' AND active`)
		kafkatest.Eventually(t, "the slot to be dropped", func() bool {
			var left int
			_, err := pool.Exec(ctx, `SELECT 1`)
			if err == nil {
				err = s.slotDropped(ctx, &left)
			}
			return err == nil && left == 0
		})
	})
	return s
}

func (s *shop) slotDropped(ctx context.Context, left *int) error {
	conn, err := pgx.Connect(ctx, s.cdc)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1 AND NOT active`, s.name); err != nil {
		return err
	}
	return conn.QueryRow(ctx, `SELECT count(*) FROM pg_replication_slots WHERE database = $1`, s.name).Scan(left)
}

// connector returns the shop's connector for a slot.
func (s *shop) connector(slot string) connect.Connector {
	return connect.Connector{Service: s.name, Host: "127.0.0.1", Port: s.w.pgPort, Database: s.name, User: s.name + "_cdc", Password: "test", Slot: slot}
}

// relay runs the shop's polling relay until stop or the end of the test.
func (s *shop) relay(t *testing.T) (r *relay.Relay, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r = relay.New(s.pool, s.out, relay.Config{Brokers: s.w.brokers, Lease: time.Second, PollEvery: 50 * time.Millisecond})
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = func() {
		cancel()
		if err, ok := <-ended; ok {
			close(ended)
			if err != nil {
				t.Errorf("the relay ended with: %v", err)
			}
		}
	}
	t.Cleanup(stop)
	return r, stop
}

// append writes entries in one transaction.
func (s *shop) append(t *testing.T, entries ...outbox.Entry) {
	t.Helper()
	err := postgres.InTx(t.Context(), s.pool, func(tx pgx.Tx) error { return s.out.Append(t.Context(), tx, entries...) })
	if err != nil {
		t.Fatal(err)
	}
	s.out.Wake()
}

// event returns a version of an order's events.
func (s *shop) event(order string, version int64) outbox.Entry {
	return outbox.Entry{
		Event: events.OrderConfirmed{OrderID: order, TrackingID: fmt.Sprintf("%s/%d", order, version), OccurredAt: time.UnixMilli(version)}, Version: version, Topic: s.topic,
	}
}

func (s *shop) count(t *testing.T, where string) (n int) {
	t.Helper()
	if err := s.pool.QueryRow(context.WithoutCancel(t.Context()), `SELECT count(*) FROM outbox WHERE `+where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (s *shop) records(t *testing.T) []*kgo.Record {
	t.Helper()
	return kafkatest.ReadAll(t, s.w.brokers, s.topic)
}

// createSlot creates a slot at the end of the log.
func (s *shop) createSlot(t *testing.T, slot string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.cdc)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, slot); err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition, as long as Connect may take.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out after %s waiting for %s", patience, what)
		}
		<-tick.C
	}
}

func header(r *kgo.Record, key string) string {
	var values []string
	for _, h := range r.Headers {
		if h.Key == key {
			values = append(values, string(h.Value))
		}
	}
	return strings.Join(values, ",")
}
