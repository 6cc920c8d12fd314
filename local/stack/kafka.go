package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"eventshop.example/local/apache"
	"eventshop.example/local/broker"
	"eventshop.example/local/jars"
	"eventshop.example/ops/eventshop"
	"eventshop.example/pkg/kafka"
)

// KafkaSource is the kind of a stack's broker: [Embedded], [Apache], or the addresses of an
// external cluster, host:port separated by commas.
type KafkaSource string

const (
	Embedded KafkaSource = "embedded" // the broker in this program
	Apache   KafkaSource = "apache"   // Apache Kafka, from its jars
)

// ParseKafkaSource parses user input. It returns an error for anything that is neither a known word
// nor a list of addresses.
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

// External reports whether the stack uses a broker that it does not run.
func (k KafkaSource) External() bool { return k != "" && k != Embedded && k != Apache }

// Addresses returns the addresses of an external cluster, or nil.
func (k KafkaSource) Addresses() []string {
	if !k.External() {
		return nil
	}
	return strings.Split(string(k), ",")
}

// Cluster returns how clients connect to the stack's Kafka.
func (f File) Cluster() kafka.Cluster {
	return kafka.Cluster{Brokers: f.Kafka, Security: f.KafkaSecurity}
}

// Addresses returns the addresses of the stack's processes.
func (f File) Addresses() eventshop.Addresses {
	return eventshop.Addresses{URL: f.URL, Operators: f.Operators, DSN: f.DSN, Kafka: f.Cluster(), Registry: f.RegistryOf}
}

// settleKafka applies the choice of a broker. A stack keeps its first choice: the outboxes count
// their rows as published, and another broker has none of these records. The access settings of an
// external cluster may change, for example a password's file.
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

// given checks that an external broker or registry answers, before anything is saved. A shop keeps
// the broker and the registry of its first start, and must not keep a wrong address.
func (s *Stack) given(ctx context.Context) error {
	return errors.Join(s.givenKafka(ctx), s.givenRegistry(ctx))
}

func (s *Stack) givenKafka(ctx context.Context) error {
	if !s.Elsewhere(Broker) {
		return nil
	}
	if err := broker.Ping(ctx, s.file.Cluster()); err != nil {
		return fmt.Errorf("the given Kafka at %s does not answer: %w", strings.Join(s.file.Kafka, ","), err)
	}
	return nil
}

// kafka starts the stack's own broker, if it has one, and creates the topics.
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
	}
	return broker.CreateTopics(ctx, f.Cluster(), eventshop.Topics()...)
}

// node returns the stack's Apache Kafka.
func (s *Stack) node() apache.Node {
	f := s.file
	return apache.Node{
		Java: f.Java, Jars: f.KafkaJars, Dir: filepath.Join(s.State, Broker),
		Port: f.Ports[Broker], Controller: f.Ports[Broker+controllerSuffix],
	}
}
