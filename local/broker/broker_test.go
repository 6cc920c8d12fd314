package broker_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/local/broker"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafka"
)

// The test binary is also the broker process that the tests kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TEST_BROKER_DIR"); dir != "" {
		port, _ := strconv.Atoi(os.Getenv("TEST_BROKER_PORT"))
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err := broker.Run(ctx, broker.Config{DataDir: dir, Port: port, SyncWrites: os.Getenv("TEST_BROKER_SYNC") != ""})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// node is a broker process on a fixed folder and port.
type node struct {
	dir  string
	port int
	sync bool
	cmd  *exec.Cmd
}

func newNode(t testing.TB) *node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return &node{dir: t.TempDir(), port: l.Addr().(*net.TCPAddr).Port}
}

func (n *node) addr() string { return fmt.Sprintf("127.0.0.1:%d", n.port) }

func (n *node) cluster() kafka.Cluster { return kafka.Cluster{Brokers: []string{n.addr()}} }

func (n *node) start(t testing.TB) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n.cmd = exec.Command(exe)
	n.cmd.Env = append(os.Environ(), "TEST_BROKER_DIR="+n.dir, "TEST_BROKER_PORT="+strconv.Itoa(n.port))
	if n.sync {
		n.cmd.Env = append(n.cmd.Env, "TEST_BROKER_SYNC=1")
	}
	n.cmd.Stderr = os.Stderr
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd := n.cmd
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for broker.Ping(ctx, n.cluster()) != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the broker does not answer")
		}
	}
}

func (n *node) end(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	n.cmd.Wait()
}

func (n *node) client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(n.addr()), kgo.ProducerLinger(0)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// readAll reads the topic from its beginning to its end, per partition in order.
func (n *node) readAll(t testing.TB, topic string, want int) []string {
	t.Helper()
	c := n.client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []string
	for len(got) < want {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("read %s: %v after %d of %d records", topic, err, len(got), want)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return got
}

func TestWhatWasAcknowledgedSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.start(t)
	topic := event.DeadLetterTopic("order.events", "payment")
	other := event.Topic{Name: "one", Partitions: 1, Config: map[string]string{"retention.ms": "-1"}}
	if err := broker.CreateTopics(t.Context(), n.cluster(), topic, other); err != nil {
		t.Fatal(err)
	}
	producer := n.client(t, kgo.DefaultProduceTopic(other.Name))
	var want []string
	// Three runs: two end with SIGKILL, one cleanly. The producer lives through all of them, as a
	// service does.
	for life, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		for i := range 200 {
			value := fmt.Sprintf("%d-%03d", life, i)
			if err := producer.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
				t.Fatalf("produce %s: %v", value, err)
			}
			want = append(want, value)
		}
		admin := kadm.NewClient(n.client(t))
		var offsets kadm.Offsets
		offsets.AddOffset(other.Name, 0, int64(len(want)-7), -1)
		if err := admin.CommitAllOffsets(t.Context(), "group", offsets); err != nil {
			t.Fatal(err)
		}
		n.end(t, sig)
		n.start(t)
		if got, want := strings.Join(n.readAll(t, other.Name, len(want)), " "), strings.Join(want, " "); got != want {
			t.Fatalf("after life %d:\n got %s\nwant %s", life, got, want)
		}
		admin = kadm.NewClient(n.client(t))
		committed, err := admin.FetchOffsets(t.Context(), "group")
		if err != nil {
			t.Fatal(err)
		}
		if o, ok := committed.Lookup(other.Name, 0); !ok || o.At != int64(len(want)-7) {
			t.Errorf("after life %d: committed offset %v, want %d", life, o.At, len(want)-7)
		}
		assertTopic(t, admin, topic)
		assertTopic(t, admin, other)
	}
}

func assertTopic(t *testing.T, admin *kadm.Client, want event.Topic) {
	t.Helper()
	topics, err := admin.ListTopics(t.Context(), want.Name)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(topics[want.Name].Partitions); got != int(want.Partitions) {
		t.Errorf("%s has %d partitions, want %d", want.Name, got, want.Partitions)
	}
	configs, err := admin.DescribeTopicConfigs(t.Context(), want.Name)
	if err != nil {
		t.Fatal(err)
	}
	rc, err := configs.On(want.Name, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range rc.Configs {
		got[c.Key] = c.MaybeValue()
	}
	for k, v := range want.Config {
		if got[k] != v {
			t.Errorf("%s: config %s is %q, want %q", want.Name, k, got[k], v)
		}
	}
}

func TestASecondBrokerOnTheSameFolderIsRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.start(t)
	err := broker.Run(t.Context(), broker.Config{DataDir: n.dir, Port: 0})
	if err == nil || !strings.Contains(err.Error(), "another broker uses "+n.dir) {
		t.Fatalf("got %v", err)
	}
}

func TestAGroupGoesOnAfterSIGKILL(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.start(t)
	if err := broker.CreateTopics(t.Context(), n.cluster(), event.Topic{Name: "t", Partitions: 3}); err != nil {
		t.Fatal(err)
	}
	producer := n.client(t, kgo.DefaultProduceTopic("t"))
	member := n.client(t, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	seen := map[string]int{}
	for round := range 3 {
		for i := range 20 {
			if err := producer.ProduceSync(ctx, kgo.StringRecord(fmt.Sprintf("%d-%d", round, i))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		for len(seen) < 20*(round+1) {
			fetches := member.PollFetches(ctx)
			if ctx.Err() != nil {
				t.Fatalf("round %d: %d records when the time is up", round, len(seen))
			}
			fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Value)]++ })
		}
		if err := member.CommitUncommittedOffsets(ctx); err != nil {
			t.Logf("round %d: commit: %v (the group is young; records come twice)", round, err)
		}
		n.end(t, syscall.SIGKILL)
		n.start(t)
	}
}

// BenchmarkProduce measures one acknowledged record per operation, with and
// without fsync: the figures of the package comment.
func BenchmarkProduce(b *testing.B) {
	for _, sync := range []bool{false, true} {
		b.Run(fmt.Sprintf("sync=%v", sync), func(b *testing.B) {
			n := newNode(b)
			n.dir, n.sync = filepath.Join(b.TempDir(), "data"), sync
			n.start(b)
			if err := broker.CreateTopics(b.Context(), n.cluster(), event.Topic{Name: "t", Partitions: 1}); err != nil {
				b.Fatal(err)
			}
			c := n.client(b, kgo.DefaultProduceTopic("t"))
			value := strings.Repeat("x", 500)
			for b.Loop() {
				if err := c.ProduceSync(b.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
