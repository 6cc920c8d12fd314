// Package cdc tests change data capture whole: a real PostgreSQL, Apache Kafka and Kafka
// Connect with Debezium, beside the polling relay of package outbox.
package cdc

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/local/apache"
	"eventshop.example/local/broker"
	"eventshop.example/local/connect"
	"eventshop.example/local/jars"
	"eventshop.example/local/postgres"
	"eventshop.example/local/process"
	"eventshop.example/pkg/postgres/server"
)

// patience bounds each wait: Connect takes up to 30 s to start on a busy machine.
const patience = 2 * time.Minute

// Names of the processes.
const (
	kafkaProcess    = "kafka"
	connectProcess  = "connect"
	postgresProcess = "postgres"
)

// world is what all tests share: it takes about a gigabyte.
type world struct {
	runner   process.Runner
	brokers  []string
	worker   connect.Worker
	connect  *connect.Client
	adminURL string // of PostgreSQL's superuser
	pgSpec   process.Spec
	pgPort   int
}

func TestChangeDataCapture(t *testing.T) {
	if testing.Short() {
		t.Skip("Kafka Connect takes half a minute and a gigabyte")
	}
	w := newWorld(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"both relays send the same records", bothRelaysSendTheSame},
		{"switching under writes", switchingUnderWrites},
		{"Connect away and back", connectAwayAndBack},
		{"PostgreSQL killed", postgresKilled},
		{"a slot that is lost", slotLost},
		{"heartbeats move the slot", heartbeatsMoveTheSlot},
	} {
		if !t.Run(test.name, func(t *testing.T) { test.run(t, w) }) {
			w.showLogs(t)
		}
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	say := func(what string) { t.Log(what) }
	java, err := jars.Java(ctx)
	var kafkaJars, connectJars string
	if err == nil {
		kafkaJars, err = jars.Fetch(ctx, jars.Kafka, say)
	}
	if err == nil {
		connectJars, err = jars.Fetch(ctx, jars.Connect, say)
	}
	bin, missing := server.FindBinaries(ctx)
	if err = errors.Join(err, missing); err != nil {
		if (errors.Is(err, jars.ErrMissing) || errors.Is(err, server.ErrNotFound)) && os.Getenv("CI") != "true" {
			t.Skip(err)
		}
		t.Fatal(err)
	}

	dir := t.TempDir()
	w := &world{runner: process.Runner{Dir: dir}, pgPort: freePort(t)}
	t.Cleanup(func() { // whoever started them again
		for _, name := range []string{connectProcess, postgresProcess, kafkaProcess} {
			_ = w.runner.Kill(context.Background(), name) // one that is not there is fine
		}
	})
	node := apache.Node{Java: java, Jars: kafkaJars, Dir: filepath.Join(dir, "kafka"), Port: freePort(t), Controller: freePort(t)}
	address := net.JoinHostPort("127.0.0.1", itoa(node.Port))
	w.brokers = []string{address}
	if err := node.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	w.launch(t, node.Spec(kafkaProcess, filepath.Join(dir, "kafka.log")))

	w.worker = connect.Worker{Java: java, Jars: connectJars, Dir: filepath.Join(dir, "connect"), Port: freePort(t), Brokers: w.brokers}
	w.connect = connect.NewClient(w.worker.URL())
	if err := w.worker.Prepare(); err != nil {
		t.Fatal(err)
	}

	cluster, err := postgres.OpenCluster(filepath.Join(dir, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(cluster.Dir); err != nil { // it may be outside of dir
			t.Error(err)
		}
	})
	if err := cluster.Init(ctx, bin); err != nil {
		t.Fatal(err)
	}
	if w.pgSpec, err = cluster.Spec(bin, w.pgPort, filepath.Join(dir, "postgres.log")); err != nil {
		t.Fatal(err)
	}
	if w.adminURL, err = cluster.AdminURL(w.pgPort); err != nil {
		t.Fatal(err)
	}
	w.startPostgres(t)

	if err := w.runner.AwaitReady(ctx, kafkaProcess, func(ctx context.Context) error { return broker.Ping(ctx, address) }); err != nil {
		t.Fatal(err)
	}
	w.startConnect(t)
	return w
}

func (w *world) launch(t *testing.T, spec process.Spec) {
	t.Helper()
	if _, err := w.runner.Start(spec); err != nil {
		t.Fatal(err)
	}
}

func (w *world) startConnect(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w.launch(t, w.worker.Spec(connectProcess, filepath.Join(w.runner.Dir, "connect.log")))
	if err := w.runner.AwaitReady(ctx, connectProcess, w.connect.Ping); err != nil {
		t.Fatal(err)
	}
}

// startPostgres gives it settings beside its own.
func (w *world) startPostgres(t *testing.T, settings ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	spec := w.pgSpec
	for _, s := range settings {
		spec.Args = append(spec.Args[:len(spec.Args):len(spec.Args)], "-c", s)
	}
	if err := postgres.Start(ctx, w.runner, spec, w.adminURL); err != nil {
		t.Fatal(err)
	}
}

func (w *world) kill(t *testing.T, name string) {
	t.Helper()
	if err := w.runner.Kill(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

// admin runs statements as the superuser, in one database.
func (w *world) admin(t *testing.T, database string, statements ...string) {
	t.Helper()
	u, err := url.Parse(w.adminURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + database
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// showLogs prints the end of Connect's and PostgreSQL's logs.
func (w *world) showLogs(t *testing.T) {
	t.Helper()
	for _, name := range []string{connectProcess, postgresProcess} {
		b, err := os.ReadFile(filepath.Join(w.runner.Dir, name+".log"))
		if err != nil {
			t.Log(err)
			continue
		}
		lines := strings.Split(string(b), "\n")
		t.Logf("%s:\n%s", name, strings.Join(lines[max(0, len(lines)-120):], "\n"))
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
