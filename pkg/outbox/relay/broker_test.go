package relay

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/outboxtest"
)

// produceKey is the API key of produce requests in the Kafka protocol.
const produceKey = 0

// answer fills a produce response with one error code for each partition.
func answer(req *kmsg.ProduceRequest, code func(records []byte) int16) *kmsg.ProduceResponse {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, code(p.Records)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func TestNothingIsMarkedBeforeTheBrokerAcknowledged(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, cluster.ListenAddrs())
	asked, let := make(chan struct{}), make(chan struct{})
	var once sync.Once
	cluster.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		once.Do(func() { close(asked) })
		cluster.SleepControl(func() { <-let })
		return nil, nil, false
	})
	f.start(t, Config{PollEvery: 10 * time.Millisecond})
	f.Append(t, outboxtest.Keys(30, 10)...)
	<-asked
	// Long enough for several reads and marks, if there were any.
	for range 10 {
		f.Append(t, "k0")
		if s := f.stats(t); s.Published != 0 {
			t.Fatalf("%d rows are marked, none is acknowledged", s.Published)
		}
	}
	close(let)
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

// restartable starts a broker that keeps its data in dir, on the port of an earlier one.
func restartable(t *testing.T, dir string, port int) *kfake.Cluster {
	t.Helper()
	var cluster *kfake.Cluster
	kafkatest.Eventually(t, "the broker's port to be free", func() (ok bool) {
		var err error
		cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir), kfake.Ports(port))
		return err == nil
	})
	t.Cleanup(cluster.Close)
	return cluster
}

// port returns the port of a broker's address.
func port(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return number
}

func TestBrokerDownAndBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.Close)
	addr := first.ListenAddrs()[0]
	kafkatest.CreateTopics(t, []string{addr}, testTopic)
	f := newFixture(t, []string{addr})
	r := f.start(t, Config{PollEvery: 10 * time.Millisecond, BatchSize: 50, MaxInFlight: 200})
	f.Append(t, outboxtest.Keys(100, 20)...)
	f.awaitPublished(t)

	first.Close()
	f.Append(t, outboxtest.Keys(3000, 20)...)
	kafkatest.Eventually(t, "the relay to say why it waits", func() bool {
		if rows, _, _, _ := r.flight.counts(); rows > 200 {
			t.Fatalf("%d rows in memory, want at most 200", rows)
		}
		err := r.Ready()
		return err != nil && strings.Contains(err.Error(), "broker")
	})
	restartable(t, dir, port(t, addr))
	f.awaitPublished(t)
	if err := r.Ready(); err != nil {
		t.Errorf("Ready after the broker is back: %v", err)
	}
	t.Logf("%d repetitions", f.verify(t))
}

// The broker applies the requests, and the connection breaks before the response.
func TestLostAcknowledgementsDoNotReorder(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, cluster.ListenAddrs())
	var n atomic.Int64
	cluster.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if n.Add(1)%3 == 0 {
			return nil, fmt.Errorf("cut the connection"), true
		}
		return nil, nil, false
	})
	f.start(t, Config{PollEvery: 10 * time.Millisecond})
	f.Append(t, outboxtest.Keys(300, 30)...)
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

// The broker refuses one record permanently. Without the rule of one record per key at the
// producer, later records that are on their way already would overtake it.
func TestRefusedRecordHoldsBackItsKeyOnly(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, cluster.ListenAddrs())
	var refusing atomic.Bool
	refusing.Store(true)
	poison := []byte("bad/5")
	cluster.ControlKey(produceKey, func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		req := kreq.(*kmsg.ProduceRequest)
		found := false
		for _, topic := range req.Topics {
			for _, p := range topic.Partitions {
				found = found || bytes.Contains(p.Records, poison)
			}
		}
		if !found || !refusing.Load() {
			return nil, nil, false
		}
		return answer(req, func(records []byte) int16 {
			if bytes.Contains(records, poison) {
				return kerr.InvalidRecord.Code
			}
			return kerr.NotEnoughReplicas.Code // the client retries these
		}), nil, true
	})
	r := f.start(t, Config{
		PollEvery: 10 * time.Millisecond,
		KgoOpts:   []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())}, // the test reads the batches
	})
	var all []string
	for i := range 400 {
		all = append(all, fmt.Sprintf("k%d", i%20))
		if i%10 == 0 {
			all = append(all, "bad")
		}
	}
	f.Append(t, all...)
	kafkatest.Eventually(t, "all other keys to be published", func() bool { return f.stats(t).Unpublished == 36 })
	if err := r.Ready(); err != nil {
		t.Errorf("one refused record makes the relay unready: %v", err)
	}
	if n := r.flight.deferredCount(); n != 1 {
		t.Errorf("%d keys held back, want 1", n)
	}
	refusing.Store(false)
	f.awaitPublished(t)
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

func TestMissingTopicHoldsBackOnlyItself(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, cluster.ListenAddrs())
	missing := event.Topic{Name: "parcel.events.lockers.dlq", Partitions: 1}
	r := f.start(t, Config{PollEvery: 10 * time.Millisecond, KgoOpts: []kgo.Opt{
		kgo.MetadataMinAge(20 * time.Millisecond), // several look-ups decide that a topic is missing
	}})
	tx := f.Begin(t)
	for i := range 10 {
		raw := outbox.Raw{ID: uuid.Must(uuid.NewV7()), Topic: missing.Name, Key: []byte(strconv.Itoa(i)), Payload: []byte("x")}
		if err := f.Out.AppendRaw(t.Context(), tx, raw); err != nil {
			t.Fatal(err)
		}
	}
	f.Insert(t, tx, outboxtest.Keys(200, 20)...)
	outboxtest.Commit(t, tx)
	kafkatest.Eventually(t, "the other topic to be published and the reason to be known", func() bool {
		err := r.Ready()
		return f.stats(t).Unpublished == 10 && err != nil && strings.Contains(err.Error(), missing.Name)
	})
	kafkatest.CreateTopics(t, f.brokers, missing)
	f.awaitPublished(t)
	if err := r.Ready(); err != nil {
		t.Errorf("Ready after the topic was created: %v", err)
	}
	if n := len(kafkatest.ReadAll(t, f.brokers, missing.Name)); n != 10 {
		t.Errorf("%d dead letters, want 10", n)
	}
}

// Reads are bounded in bytes, not only in rows.
func TestLargeRowsAreReadInSmallBatches(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, cluster.ListenAddrs())
	let := make(chan struct{})
	cluster.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.SleepControl(func() { <-let })
		return nil, nil, false
	})
	r := f.start(t, Config{PollEvery: 5 * time.Millisecond, MaxInFlightBytes: 3 << 20})
	tx := f.Begin(t)
	for i := range 20 {
		raw := outbox.Raw{ID: uuid.Must(uuid.NewV7()), Topic: testTopic.Name, Key: []byte(strconv.Itoa(i)), Payload: make([]byte, outbox.MaxRaw-100)}
		if err := f.Out.AppendRaw(t.Context(), tx, raw); err != nil {
			t.Fatal(err)
		}
	}
	outboxtest.Commit(t, tx)
	kafkatest.Eventually(t, "memory to be full", func() bool {
		rows, _, _, _ := r.flight.counts()
		if rows > 4 {
			t.Fatalf("%d rows of 1 MB in memory, want at most 4", rows)
		}
		return rows >= 3
	})
	close(let)
	f.awaitPublished(t)
	if n := len(kafkatest.ReadAll(t, f.brokers, testTopic.Name)); n != 20 {
		t.Errorf("%d records, want 20", n)
	}
}
