package apache

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/local/broker"
	"eventshop.example/local/jars"
	"eventshop.example/local/process"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/postgres/server"
)

// node returns a node with free ports. It skips the test without Java or Maven.
func node(t *testing.T) Node {
	t.Helper()
	if testing.Short() {
		t.Skip("Apache Kafka takes some seconds and 400 MB")
	}
	java, err := jars.Java(t.Context())
	if err == nil {
		var dir string
		if dir, err = jars.Fetch(t.Context(), jars.Kafka, func(what string) { t.Log(what) }); err == nil {
			return Node{Java: java, Jars: dir, Dir: filepath.Join(t.TempDir(), "kafka"), Port: freePort(t), Controller: freePort(t)}
		}
	}
	if errors.Is(err, jars.ErrMissing) {
		t.Skip(err)
	}
	t.Fatal(err)
	return Node{}
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// running is a started node.
type running struct {
	t      *testing.T
	node   Node
	runner process.Runner
}

func start(t *testing.T, n Node) *running {
	t.Helper()
	r := &running{t: t, node: n, runner: process.Runner{Dir: t.TempDir()}}
	t.Cleanup(func() { r.runner.Kill(context.Background(), "kafka") }) //nolint:errcheck // the folder goes with it
	r.start()
	return r
}

func (r *running) start() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if err := r.node.Prepare(ctx); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.runner.Start(r.node.Spec("kafka", filepath.Join(r.node.Dir, "kafka.log"))); err != nil {
		r.t.Fatal(err)
	}
	address := r.address()
	if err := r.runner.AwaitReady(ctx, "kafka", func(ctx context.Context) error { return broker.Ping(ctx, kafka.Cluster{Brokers: []string{address}}) }); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) address() string { return fmt.Sprintf("127.0.0.1:%d", r.node.Port) }

func (r *running) client(opts ...kgo.Opt) *kgo.Client {
	r.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(r.address())}, opts...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

// TestWhatWasAcknowledgedSurvivesSIGKILL also checks topics and their settings.
func TestWhatWasAcknowledgedSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	r := start(t, node(t))
	topic := event.Topic{Name: "order.events", Partitions: 3, Config: map[string]string{"retention.ms": "-1"}}
	if err := broker.CreateTopics(t.Context(), kafka.Cluster{Brokers: []string{r.address()}}, topic); err != nil {
		t.Fatal(err)
	}
	const records = 1000
	producer := r.client()
	for i := range records {
		producer.Produce(t.Context(), &kgo.Record{Topic: topic.Name, Key: fmt.Append(nil, i%50), Value: fmt.Append(nil, i)}, nil)
	}
	if err := producer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.runner.Kill(t.Context(), "kafka"); err != nil {
		t.Fatal(err)
	}
	r.start()

	consumer := r.client(kgo.ConsumeTopics(topic.Name))
	got := map[string]bool{}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for len(got) < records {
		fetches := consumer.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records are there", len(got), records)
		}
		fetches.EachRecord(func(rec *kgo.Record) { got[string(rec.Value)] = true })
	}
}

// TestNoTopicMakesItself: a misspelt name is an error.
func TestNoTopicMakesItself(t *testing.T) {
	t.Parallel()
	r := start(t, node(t))
	producer := r.client(kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(1))
	err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "oder.events", Value: []byte("x")}).FirstErr()
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("got %v", err)
	}
}
