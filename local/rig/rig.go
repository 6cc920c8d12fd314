// Package rig runs what change data capture needs beside the services, for tests and
// measurements of it: a broker of Apache Kafka, a worker of Kafka Connect, and a server of
// PostgreSQL, as processes of this machine in one folder. They take about a gigabyte.
//
// # How it fails
//
// What is not installed is an error that matches [jars.ErrMissing] or [server.ErrNotFound].
// A process that does not start is one with the end of its log.
package rig

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
	"eventshop.example/local/connect"
	"eventshop.example/local/jars"
	"eventshop.example/local/postgres"
	"eventshop.example/local/process"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/postgres/server"
)

// Names of the processes. Each logs to <name>.log in the folder.
const (
	Kafka    = "kafka"
	Connect  = "connect"
	Postgres = "postgres"
)

// Rig is what runs.
type Rig struct {
	Runner       process.Runner
	Brokers      []string
	Worker       connect.Worker
	Connect      *connect.Client
	AdminURL     string // of PostgreSQL's superuser
	PostgresPort int

	node     apache.Node
	postgres process.Spec
	data     string // of PostgreSQL; it may be outside of the folder
}

// Start starts everything in the folder dir and returns when it answers. say is told what
// is downloaded. Call Close also after an error.
func Start(ctx context.Context, dir string, say func(string)) (*Rig, error) {
	r := &Rig{Runner: process.Runner{Dir: dir}}
	if err := r.start(ctx, say); err != nil {
		return r, fmt.Errorf("start Kafka, Connect and PostgreSQL: %w", err)
	}
	return r, nil
}

func (r *Rig) start(ctx context.Context, say func(string)) error {
	dir := r.Runner.Dir
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
	r.Brokers = []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(node.Port))}
	if err := node.Prepare(ctx); err != nil {
		return err
	}
	r.node = node
	if _, err := r.Runner.Start(node.Spec(Kafka, r.log(Kafka))); err != nil {
		return err
	}

	cluster, err := postgres.OpenCluster(filepath.Join(dir, Postgres))
	if err != nil {
		return err
	}
	r.data, r.PostgresPort = cluster.Dir, ports[2]
	if err := cluster.Init(ctx, bin); err != nil {
		return err
	}
	if r.postgres, err = cluster.Spec(bin, r.PostgresPort, r.log(Postgres)); err != nil {
		return err
	}
	if r.AdminURL, err = cluster.AdminURL(r.PostgresPort); err != nil {
		return err
	}
	if err := r.StartPostgres(ctx); err != nil {
		return err
	}

	if err := r.awaitKafka(ctx); err != nil {
		return err
	}
	r.Worker = connect.Worker{Java: java, Jars: connectJars, Dir: filepath.Join(dir, Connect), Port: ports[3], Brokers: r.Brokers}
	r.Connect = connect.NewClient(r.Worker.URL())
	if err := r.Worker.Prepare(); err != nil {
		return err
	}
	return r.StartConnect(ctx)
}

// StartKafka starts the broker, the first time or after its end, and waits until it answers.
func (r *Rig) StartKafka(ctx context.Context) error {
	if _, err := r.Runner.Start(r.node.Spec(Kafka, r.log(Kafka))); err != nil {
		return err
	}
	return r.awaitKafka(ctx)
}

func (r *Rig) awaitKafka(ctx context.Context) error {
	return r.Runner.AwaitReady(ctx, Kafka, func(ctx context.Context) error { return broker.Ping(ctx, kafka.Cluster{Brokers: r.Brokers}) })
}

// StartConnect starts the worker, the first time or after its end.
func (r *Rig) StartConnect(ctx context.Context) error {
	if _, err := r.Runner.Start(r.Worker.Spec(Connect, r.log(Connect))); err != nil {
		return err
	}
	return r.Runner.AwaitReady(ctx, Connect, r.Connect.Ping)
}

// StartPostgres starts the server, the first time or after its end. settings are
// "name=value", beside its own.
func (r *Rig) StartPostgres(ctx context.Context, settings ...string) error {
	spec := r.postgres
	for _, s := range settings {
		spec.Args = append(spec.Args[:len(spec.Args):len(spec.Args)], "-c", s)
	}
	return postgres.Start(ctx, r.Runner, spec, r.AdminURL)
}

// Close kills what runs and deletes the databases; the folder is the caller's.
func (r *Rig) Close() error {
	for _, name := range []string{Connect, Postgres, Kafka} {
		_ = r.Runner.Kill(context.Background(), name) // one that is not there is fine
	}
	if r.data == "" {
		return nil
	}
	return os.RemoveAll(r.data)
}

func (r *Rig) log(name string) string { return filepath.Join(r.Runner.Dir, name+".log") }
