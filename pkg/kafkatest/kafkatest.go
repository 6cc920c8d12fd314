// Package kafkatest runs a Kafka-protocol broker inside a test's process.
//
// The broker (franz-go's kfake) implements the real protocol over loopback TCP, keeps everything in
// memory and ends with the test. It is not Apache Kafka: it has one node, no replication, and
// simpler limits. All functions end the test on an error; none sleeps for a fixed time.
package kafkatest

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
)

// Patience is how long a function waits for something that should happen at once, on a machine that
// may be busy with other tests.
const Patience = 30 * time.Second

// Start runs a broker with the topics, each with its partitions and settings,
// and returns the addresses to connect to. The broker ends with the test.
func Start(t testing.TB, topics ...event.Topic) (brokers []string) {
	t.Helper()
	return StartCluster(t, topics...).ListenAddrs()
}

// StartCluster is [Start] for tests that need faults of the broker: the cluster's Control functions
// see every request.
func StartCluster(t testing.TB, topics ...event.Topic) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ClusterID("kafkatest"))
	if err != nil {
		t.Fatalf("start the broker: %v", err)
	}
	t.Cleanup(cluster.Close)
	CreateTopics(t, cluster.ListenAddrs(), topics...)
	return cluster
}

// CreateTopics creates topics that do not exist yet.
func CreateTopics(t testing.TB, brokers []string, topics ...event.Topic) {
	t.Helper()
	admin := kadm.NewClient(NewClient(t, brokers))
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	for _, topic := range topics {
		configs := map[string]*string{}
		for name, value := range topic.Config {
			configs[name] = &value
		}
		if _, err := admin.CreateTopic(ctx, max(topic.Partitions, 1), 1, configs, topic.Name); err != nil {
			t.Fatalf("create topic %s: %v", topic.Name, err)
		}
	}
}

// NewClient returns a client that is closed at the end of the test. It sends
// without delay.
func NewClient(t testing.TB, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(brokers...), kgo.ProducerLinger(0)}, opts...)...)
	if err != nil {
		t.Fatalf("make a Kafka client: %v", err)
	}
	t.Cleanup(client.Close)
	return client
}

// Produce sends the records in order and waits until the broker has them. It sends copies, because
// the client changes the records that it sends. So a record can be produced again.
func Produce(t testing.TB, brokers []string, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatalf("make a Kafka client: %v", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	copies := make([]*kgo.Record, len(records))
	for i, r := range records {
		again := *r
		copies[i] = &again
	}
	if err := client.ProduceSync(ctx, copies...).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}
}

// ReadAll returns the records that the topic contained at the time of the call. The records of a
// partition are in order; the partitions follow each other.
func ReadAll(t testing.TB, brokers []string, topic string) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	records, err := readAll(ctx, brokers, topic)
	if err != nil {
		t.Fatalf("read topic %s: %v", topic, err)
	}
	return records
}

// Eventually waits until condition is true and ends the test after
// [Patience]. what completes the sentence "timed out waiting for …". The
// condition runs on the test's goroutine, so it may use t.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("timed out after %s waiting for %s", Patience, what)
		}
	}
}
