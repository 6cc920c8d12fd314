// Package cdcstack runs the infrastructure of change data capture for tests and benchmarks: an
// Apache Kafka broker, a Kafka Connect worker and a PostgreSQL server, as processes of this machine
// in one folder. They take about a gigabyte.
//
// # How it fails
//
// Missing programs are an error that matches [jars.ErrMissing] or [server.ErrNotFound]. If a
// process does not start, the error has the end of its log.
package cdcstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"eventshop.example/local/apache"
	"eventshop.example/local/broker"
	"eventshop.example/local/jars"
	"eventshop.example/local/postgres"
	"eventshop.example/local/process"
	"eventshop.example/ops/connect"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/postgres/server"
)

// Names of the processes. Each logs to <name>.log in the folder.
const (
	Kafka    = "kafka"
	Connect  = "connect"
	Postgres = "postgres"
)

// Stack is a set of running processes.
type Stack struct {
	Runner       process.Runner
	Brokers      []string
	Worker       apache.Worker
	Connect      *connect.Client
	AdminURL     string // of PostgreSQL's superuser
	PostgresPort int

	node     apache.Node
	postgres process.Spec
	data     string // of PostgreSQL; it may be outside the folder
}

// Start starts everything in the folder dir and returns when all processes answer. It calls say
// before a download. Call Close also after an error.
func Start(ctx context.Context, dir string, say func(string)) (*Stack, error) {
	s := &Stack{Runner: process.Runner{Dir: dir}}
	if err := s.start(ctx, say); err != nil {
		return s, fmt.Errorf("start Kafka, Connect and PostgreSQL: %w", err)
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context, say func(string)) error {
	dir := s.Runner.Dir
	java, err := jars.Java(ctx)
	var kafkaJars, connectJars string
	if err == nil {
		kafkaJars, err = jars.Fetch(ctx, jars.Kafka, say)
	}
	if err == nil {
		connectJars, err = jars.Fetch(ctx, jars.Connect, say)
	}
	bin, missing := server.FindBinaries(ctx)
	if err := errors.Join(err, missing); err != nil {
		return err
	}
	var ports [4]int
	for i := range ports {
		if ports[i], err = server.FreePort(); err != nil {
			return err
		}
	}

	node := apache.Node{Java: java, Jars: kafkaJars, Dir: filepath.Join(dir, Kafka), Port: ports[0], Controller: ports[1]}
	s.Brokers = []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(node.Port))}
	if err := node.Prepare(ctx); err != nil {
		return err
	}
	s.node = node
	if _, err := s.Runner.Start(node.Spec(Kafka, s.log(Kafka))); err != nil {
		return err
	}

	cluster, err := postgres.OpenCluster(filepath.Join(dir, Postgres))
	if err != nil {
		return err
	}
	s.data, s.PostgresPort = cluster.Dir, ports[2]
	if err := cluster.Init(ctx, bin); err != nil {
		return err
	}
	if s.postgres, err = cluster.Spec(bin, s.PostgresPort, s.log(Postgres)); err != nil {
		return err
	}
	if s.AdminURL, err = cluster.AdminURL(s.PostgresPort); err != nil {
		return err
	}
	if err := s.StartPostgres(ctx); err != nil {
		return err
	}

	if err := s.awaitKafka(ctx); err != nil {
		return err
	}
	s.Worker = apache.Worker{Java: java, Jars: connectJars, Dir: filepath.Join(dir, Connect), Port: ports[3], Brokers: s.Brokers}
	s.Connect = connect.NewClient(s.Worker.URL())
	if err := s.Worker.Prepare(); err != nil {
		return err
	}
	return s.StartConnect(ctx)
}

// StartKafka starts the broker, for the first time or again, and waits until it answers.
func (s *Stack) StartKafka(ctx context.Context) error {
	if _, err := s.Runner.Start(s.node.Spec(Kafka, s.log(Kafka))); err != nil {
		return err
	}
	return s.awaitKafka(ctx)
}

func (s *Stack) awaitKafka(ctx context.Context) error {
	return s.Runner.AwaitReady(ctx, Kafka, func(ctx context.Context) error { return broker.Ping(ctx, kafka.Cluster{Brokers: s.Brokers}) })
}

// StartConnect starts the worker, for the first time or again.
func (s *Stack) StartConnect(ctx context.Context) error {
	if _, err := s.Runner.Start(s.Worker.Spec(Connect, s.log(Connect))); err != nil {
		return err
	}
	return s.Runner.AwaitReady(ctx, Connect, s.Connect.Ping)
}

// StartPostgres starts the server, for the first time or again. settings are "name=value", in
// addition to its own.
func (s *Stack) StartPostgres(ctx context.Context, settings ...string) error {
	spec := s.postgres
	for _, setting := range settings {
		spec.Args = append(spec.Args[:len(spec.Args):len(spec.Args)], "-c", setting)
	}
	return postgres.Start(ctx, s.Runner, spec, s.AdminURL)
}

// Close kills the running processes and deletes the databases. The caller deletes the folder.
func (s *Stack) Close() error {
	for _, name := range []string{Connect, Postgres, Kafka} {
		_ = s.Runner.Kill(context.Background(), name) // a process that does not run is fine
	}
	if s.data == "" {
		return nil
	}
	return os.RemoveAll(s.data)
}

func (s *Stack) log(name string) string { return filepath.Join(s.Runner.Dir, name+".log") }
