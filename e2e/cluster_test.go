package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"eventshop.example/local/apache"
	"eventshop.example/local/jars"
	"eventshop.example/local/process"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/postgres/server"
)

// TestABrokerOfThreeDies kills under load the broker that coordinates a consumer group, and then
// the one that leads partitions of orders, in an external cluster. Groups and leaders move; the
// orders of that time end as all others do.
func TestABrokerOfThreeDies(t *testing.T) {
	if kind, err := kindOfStack(); kind != "apache" || err != nil {
		t.Skip("one broker is all there is on this stack")
	}
	if testing.Short() {
		t.Skip("the long run is left out with -short")
	}
	c := startCluster(t)
	s := &stack{shop: common.shop, dir: filepath.Join(t.TempDir(), "state")}
	openTo(t, s.dir)
	t.Cleanup(s.gone)
	if err := s.up("--kafka", strings.Join(c.addresses(), ",")); err != nil {
		t.Fatal(err)
	}
	adm := s.admin(t)
	c.awaitCopies(t, adm)
	const stock = plenty
	sku := s.stock(t, "CLUSTER-1", stock)
	l := s.startLoad(t, sku, 15, "cluster-ada", "cluster-bob")
	l.await(t, 30)

	for _, role := range []struct {
		name string
		of   func() int32
	}{
		{"coordinator of the group payment", func() int32 { return coordinator(t, adm, "payment") }},
		{"leader of the partition 0 of " + events.TopicOrderEvents, func() int32 { return leader(t, adm, events.TopicOrderEvents) }},
	} {
		target := role.of()
		if target < 1 {
			t.Fatalf("there is no %s", role.name)
		}
		c.kill(t, target)
		killed, placed := time.Now(), l.placed()
		next := int32(-1)
		eventually(t, time.Minute, "another broker is "+role.name, func() bool {
			next = role.of()
			return next > 0 && next != target
		})
		t.Logf("%s: broker %d killed, broker %d took over after %s", role.name, target, next, time.Since(killed).Round(100*time.Millisecond))
		l.await(t, 60)
		last := l.Promised()[placed:]
		s.awaitStatus(t, last[len(last)-1], "CONFIRMED", "SHIPPED", "DELIVERED")
		t.Logf("an order of the time without it is confirmed %s after the kill", time.Since(killed).Round(100*time.Millisecond))
		c.start(t, target)
		c.awaitCopies(t, adm)
	}

	orders := l.stop()
	ended := s.endOf(t, orders)
	if ended["DELIVERED"] != len(orders) {
		t.Errorf("of %d orders ended %v, want all delivered", len(orders), ended)
	}
	s.wantStock(t, sku, stock, len(orders))
	if n := deadLetters(t, adm); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	s.verify(t)
}

// cluster is three nodes of Apache Kafka.
type cluster struct {
	runner process.Runner
	nodes  []apache.Node
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	java, err := jars.Java(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := jars.Fetch(t.Context(), jars.Kafka, func(what string) { t.Log(what) })
	if err != nil {
		t.Fatal(err)
	}
	ports := make([]apache.Ports, 3)
	for i := range ports {
		ports[i] = apache.Ports{Client: freePort(t), Controller: freePort(t)}
	}
	c := &cluster{runner: process.Runner{Dir: t.TempDir()}, nodes: apache.Cluster(apache.Node{Java: java, Jars: dir, Dir: t.TempDir()}, ports...)}
	t.Cleanup(func() {
		for i := range c.nodes {
			_ = c.runner.Kill(context.Background(), nodeName(int32(i+1))) // a node that was already killed is fine
		}
	})
	for i := range c.nodes {
		c.start(t, int32(i+1))
	}
	adm := (&stack{Kafka: c.addresses()}).admin(t)
	eventually(t, time.Minute, "all brokers are there", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		brokers, err := adm.ListBrokers(ctx)
		return err == nil && len(brokers) == len(c.nodes)
	})
	return c
}

func nodeName(id int32) string { return fmt.Sprintf("kafka-%d", id) }

func (c *cluster) addresses() (all []string) {
	for _, n := range c.nodes {
		all = append(all, fmt.Sprintf("127.0.0.1:%d", n.Port))
	}
	return all
}

func (c *cluster) start(t *testing.T, id int32) {
	t.Helper()
	n := c.nodes[id-1]
	err := n.Prepare(t.Context())
	if err == nil {
		_, err = c.runner.Start(n.Spec(nodeName(id), filepath.Join(n.Dir, "kafka.log")))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) kill(t *testing.T, id int32) {
	t.Helper()
	if err := c.runner.Kill(t.Context(), nodeName(id)); err != nil {
		t.Fatal(err)
	}
}

// awaitCopies waits until every partition has all its copies on all brokers.
func (c *cluster) awaitCopies(t *testing.T, adm *kadm.Client) {
	t.Helper()
	eventually(t, 4*time.Minute, "every partition has a copy on every broker", func() bool {
		topics, err := adm.ListTopicsWithInternal(t.Context())
		if err != nil || len(topics) == 0 || topics.Error() != nil {
			return false
		}
		for _, topic := range topics {
			for _, p := range topic.Partitions {
				if len(p.ISR) != len(c.nodes) {
					return false
				}
			}
		}
		return true
	})
}

// coordinator returns the broker that coordinates a group, or -1 while it is unknown.
func coordinator(t *testing.T, adm *kadm.Client, group string) int32 {
	t.Helper()
	found := adm.FindGroupCoordinators(t.Context(), group)[group]
	if found.Err != nil {
		return -1
	}
	return found.NodeID
}

// leader returns the broker that leads a topic's first partition, or -1 while there is none.
func leader(t *testing.T, adm *kadm.Client, topic string) int32 {
	t.Helper()
	topics, err := adm.ListTopics(t.Context(), topic)
	if err != nil || topics.Error() != nil {
		return -1
	}
	return topics[topic].Partitions[0].Leader
}

// openTo lets the database server's user, which may be another user, enter the folder.
func openTo(t *testing.T, dir string) {
	t.Helper()
	for d := filepath.Dir(dir); d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
