package stack

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"eventshop.example/local/apache"
	"eventshop.example/local/broker"
	"eventshop.example/local/jars"
	"eventshop.example/pkg/kafka"
)

// KafkaSource says which broker a stack has: Embedded, Apache, or the addresses of a
// cluster of somebody else's, host:port with commas between.
type KafkaSource string

const (
	Embedded KafkaSource = "embedded" // the broker in this program
	Apache   KafkaSource = "apache"   // Apache Kafka, from its jars
)

// ParseKafkaSource reads what a person typed. Errors: anything that is neither a known
// word nor a list of addresses.
func ParseKafkaSource(text string) (KafkaSource, error) {
	k := KafkaSource(text)
	if k == Embedded || k == Apache {
		return k, nil
	}
	for _, address := range k.Addresses() {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return "", fmt.Errorf("%q is neither embedded nor apache nor HOST:PORT,…", text)
		}
	}
	return k, nil
}

// External tells whether the stack does not run the broker itself.
func (k KafkaSource) External() bool { return k != "" && k != Embedded && k != Apache }

// Addresses are those of an external cluster; nil for the others.
func (k KafkaSource) Addresses() []string {
	if !k.External() {
		return nil
	}
	return strings.Split(string(k), ",")
}

// Cluster is how clients connect to the stack's Kafka.
func (f File) Cluster() kafka.Cluster {
	return kafka.Cluster{Brokers: f.Kafka, Security: f.KafkaSecurity}
}

// settleKafka takes over the choice of a broker. A stack stays with the one it began
// with: what is in the outboxes counts as published, and another broker has none of it.
// How to connect to a cluster of somebody else's may change, as a password's file may.
func (s *Stack) settleKafka(chosen KafkaSource, security kafka.Security) error {
	f := &s.file
	if chosen == "" {
		chosen = f.KafkaSource
	}
	if chosen == "" {
		return nil
	}
	if had := f.KafkaSource; s.Known() && had != chosen && (had != "" || chosen != Embedded) {
		if had == "" {
			had = Embedded
		}
		return fmt.Errorf("this shop's events are on Kafka %q; to begin anew on %q: shop down, shop wipe", had, chosen)
	}
	f.KafkaSource = chosen
	if chosen.External() && security != (kafka.Security{}) {
		f.KafkaSecurity = security
	}
	return nil
}

// kafka brings up the broker, where it is ours, and creates the topics.
func (s *Stack) kafka(ctx context.Context) error {
	f := &s.file
	if f.KafkaSource == Apache {
		say := func(what string) { fmt.Fprintln(s.Out, what) }
		var err error
		if f.Java, err = jars.Java(ctx); err != nil {
			return err
		}
		if f.KafkaJars, err = jars.Fetch(ctx, jars.Kafka, say); err != nil {
			return err
		}
	}
	if !s.Elsewhere(Broker) {
		if err := s.startAll(ctx, []string{Broker}); err != nil {
			return err
		}
	} else if err := broker.Ping(ctx, f.Cluster()); err != nil {
		return fmt.Errorf("the given Kafka at %s does not answer: %w", strings.Join(f.Kafka, ","), err)
	}
	return broker.CreateTopics(ctx, f.Cluster(), Topics()...)
}

// node is the stack's Apache Kafka.
func (s *Stack) node() apache.Node {
	f := s.file
	return apache.Node{
		Java: f.Java, Jars: f.KafkaJars, Dir: filepath.Join(s.State, Broker),
		Port: f.Ports[Broker], Controller: f.Ports[Broker+controllerSuffix],
	}
}
