// Package cdc tests change data capture with the real programs: PostgreSQL, Apache Kafka, and Kafka
// Connect with Debezium, beside the polling relay of package outbox.
package cdc

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/lab/cdcstack"
	"eventshop.example/local/jars"
	"eventshop.example/ops/connect"
	"eventshop.example/pkg/postgres/server"
)

// patience bounds each wait: Connect takes up to 30 s to start on a busy machine, and Debezium two
// minutes to take over from a task that was left behind.
const patience = 4 * time.Minute

// Names of the processes.
const (
	kafkaProcess    = cdcstack.Kafka
	connectProcess  = cdcstack.Connect
	postgresProcess = cdcstack.Postgres
)

// world is shared by all tests, because it takes about a gigabyte.
type world struct {
	stack    *cdcstack.Stack
	brokers  []string
	connect  *connect.Client
	adminURL string // of PostgreSQL's superuser
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
		{"Connect gone for good", connectGoneForGood},
		{"Kafka away and back", kafkaAwayAndBack},
		{"PostgreSQL killed", postgresKilled},
		{"a slot that is lost", slotLost},
		{"a slot that is outrun", slotOutrun},
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
	r, err := cdcstack.Start(ctx, t.TempDir(), func(what string) { t.Log(what) })
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		if (errors.Is(err, jars.ErrMissing) || errors.Is(err, server.ErrNotFound)) && os.Getenv("CI") != "true" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	return &world{stack: r, brokers: r.Brokers, connect: r.Connect, adminURL: r.AdminURL, pgPort: r.PostgresPort}
}

func (w *world) startConnect(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.stack.StartConnect(ctx); err != nil {
		t.Fatal(err)
	}
}

func (w *world) startKafka(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.stack.StartKafka(ctx); err != nil {
		t.Fatal(err)
	}
}

// startPostgres starts the server with additional settings.
func (w *world) startPostgres(t *testing.T, settings ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.stack.StartPostgres(ctx, settings...); err != nil {
		t.Fatal(err)
	}
}

func (w *world) kill(t *testing.T, name string) {
	t.Helper()
	if err := w.stack.Runner.Kill(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

// admin runs statements as the superuser in one database.
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
		b, err := os.ReadFile(filepath.Join(w.stack.Runner.Dir, name+".log"))
		if err != nil {
			t.Log(err)
			continue
		}
		lines := strings.Split(string(b), "\n")
		t.Logf("%s:\n%s", name, strings.Join(lines[max(0, len(lines)-120):], "\n"))
	}
}
