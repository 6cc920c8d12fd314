package cdc

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"eventshop.example/ops/connect"
	"eventshop.example/ops/relay"
	"eventshop.example/pkg/outbox/capture"
	polling "eventshop.example/pkg/outbox/relay"
)

// switchingUnderWrites switches to Debezium and back, twice, each time after interrupted attempts.
func switchingUnderWrites(t *testing.T, w *world) {
	s := w.shop(t, "switching")
	r, _ := s.relay(t)
	control, service := s.control(t)
	writers := s.write(t)
	writers.more(t, 200)
	for round := range 2 {
		for _, after := range []time.Duration{300 * time.Millisecond, 1500 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(t.Context(), after+time.Duration(round)*700*time.Millisecond)
			t.Logf("cut off after %s: %v", after, control.UseDebezium(ctx, service))
			cancel()
			writers.more(t, 50)
		}
		var people errgroup.Group
		for range 3 { // concurrently; the later ones find nothing to do
			people.Go(func() error { return control.UseDebezium(t.Context(), service) })
		}
		if err := people.Wait(); err != nil {
			t.Fatal(err)
		}
		writers.more(t, 600)
		waitReady(t, r)
		if round == 0 {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			t.Logf("cut off on the way back: %v", control.UsePolling(ctx, service))
			cancel()
		}
		for range 2 {
			if err := control.UsePolling(t.Context(), service); err != nil {
				t.Fatal(err)
			}
		}
		writers.more(t, 300)
	}
	writers.verify(t)
}

// captured is a shop whose events Debezium relays, with its writers.
type captured struct {
	shop    *shop
	relay   *polling.Relay
	control relay.Control
	service relay.Service
	writers *writers
}

func (w *world) captured(t *testing.T, name string) captured {
	t.Helper()
	c := captured{shop: w.shop(t, name)}
	c.relay, _ = c.shop.relay(t)
	c.control, c.service = c.shop.control(t)
	if err := c.control.UseDebezium(t.Context(), c.service); err != nil {
		t.Fatal(err)
	}
	c.writers = c.shop.write(t)
	return c
}

// connectAwayAndBack kills Connect: after the restart it continues where it stopped, and the
// polling relay does not publish in between.
func connectAwayAndBack(t *testing.T, w *world) {
	c := w.captured(t, "away")
	for range 3 {
		c.writers.more(t, 300)
		w.kill(t, connectProcess)
		c.writers.more(t, 300)
		w.startConnect(t)
	}
	c.writers.more(t, 300)
	c.writers.verify(t)
}

// connectGoneForGood switches to polling while no worker can be asked to stop the connector. If the
// worker returns later, the connector finds no slot and does nothing.
func connectGoneForGood(t *testing.T, w *world) {
	c := w.captured(t, "gone")
	c.writers.more(t, 300)
	w.kill(t, connectProcess)
	c.writers.more(t, 300)
	alone := c.control
	alone.Connect = nil
	if err := alone.UsePolling(t.Context(), c.service); err != nil {
		t.Fatal(err)
	}
	c.writers.more(t, 300)
	waitReady(t, c.relay)
	w.startConnect(t)
	until(t, "the connector to fail", func() bool {
		status, err := w.connect.Status(t.Context(), connect.NameOf(c.shop.name))
		return err == nil && strings.Contains(status.Failure(), "no longer available")
	})
	c.writers.verify(t)
}

// kafkaAwayAndBack keeps Kafka away until the worker leaves its group and its task has to stop. A
// long outage leaves the task behind, with its slot.
func kafkaAwayAndBack(t *testing.T, w *world) {
	c := w.captured(t, "adrift")
	c.writers.more(t, 300)
	w.kill(t, kafkaProcess)
	away := 6 * time.Second                    // twice what the worker waits before it leaves its group
	if os.Getenv("EVENTSHOP_E2E_LONG") != "" { // the tests of outages as long as those of the field
		away = 45 * time.Second
	}
	down := time.Now()
	until(t, "the outage to be over", func() bool {
		c.writers.more(t, 50)
		return time.Since(down) > away
	})
	w.startKafka(t)
	c.writers.more(t, 300)
	w.publishesAgain(t, c)
	waitReady(t, c.relay)
	c.writers.verify(t)
	t.Logf("all of it is published %s after the broker's start", (time.Since(down) - away).Round(time.Second))
}

// publishesAgain waits until all events of before are published. A slot with a reader is not enough:
// the reader may be a task that was left behind, or one that is about to fail.
func (w *world) publishesAgain(t *testing.T, c captured) {
	t.Helper()
	var newest int64                           // the writers go on
	until(t, "the newest event", func() bool { // connections of before a restart of the server fail
		return c.shop.pool.QueryRow(t.Context(), `SELECT max(seq) FROM outbox`).Scan(&newest) == nil
	})
	until(t, "the connector to publish again", func() bool {
		w.restartTask(t, connect.NameOf(c.shop.name))
		waiting := -1
		err := c.shop.pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox_queue WHERE seq <= $1`, newest).Scan(&waiting)
		return err == nil && waiting == 0
	})
}

// restartTask restarts a task that failed for a fault of Debezium 3.3, as an operator does. A task
// that the worker replaces while it stops takes away the lineage emitter of its successor, which
// then fails for good. Any other failure is left for the test to find.
func (w *world) restartTask(t *testing.T, name string) {
	t.Helper()
	status, err := w.connect.Status(t.Context(), name)
	if err != nil || !strings.Contains(status.Failure(), "DebeziumOpenLineageEmitter not initialized") {
		return
	}
	t.Logf("restarting a task that failed: %s", status.Failure())
	if err := w.connect.Restart(t.Context(), name); err != nil {
		t.Logf("restart %s: %v", name, err)
	}
}

// postgresKilled checks that the connector recovers by itself.
func postgresKilled(t *testing.T, w *world) {
	c := w.captured(t, "killed")
	for range 2 {
		c.writers.more(t, 300)
		w.kill(t, postgresProcess)
		w.startPostgres(t)
		c.writers.more(t, 300)
		w.publishesAgain(t, c)
	}
	waitReady(t, c.relay)
	c.writers.verify(t)
}

// slotLost checks that the connector does not continue behind a gap, that the service reports the
// error, and that recover sends everything.
func slotLost(t *testing.T, w *world) {
	c := w.captured(t, "lost")
	c.writers.more(t, 300)
	w.kill(t, connectProcess)
	c.writers.more(t, 300)
	until(t, "the slot to be free", func() bool {
		m, err := capture.ReadMode(t.Context(), c.shop.pool, 0)
		return err == nil && m.State != nil && !m.State.Active
	})
	w.admin(t, c.shop.name, `SELECT pg_drop_replication_slot('`+c.service.Slot()+`')`)
	// Connect is back at once: it must not create its own slot and continue from there.
	w.startConnect(t)
	until(t, "the connector to fail", func() bool {
		status, err := w.connect.Status(t.Context(), connect.NameOf(c.shop.name))
		return err == nil && strings.Contains(status.Failure(), "no longer available")
	})
	until(t, "the service to say so", func() bool {
		err := c.relay.Ready()
		return err != nil && strings.Contains(err.Error(), "does not exist any more")
	})
	c.writers.more(t, 100)
	if err := c.control.UseDebezium(t.Context(), c.service); err == nil || !strings.Contains(err.Error(), "recover") {
		t.Errorf("use debezium with a lost slot: %v", err)
	}
	if err := c.control.Recover(t.Context(), c.service); err != nil {
		t.Fatal(err)
	}
	c.writers.more(t, 300)
	waitReady(t, c.relay)
	c.writers.verify(t)
}

// slotOutrun keeps Connect away for longer than the server keeps its log for it.
func slotOutrun(t *testing.T, w *world) {
	w.kill(t, postgresProcess)
	w.startPostgres(t, "max_slot_wal_keep_size=1MB")
	defer func() { // as it was for the other tests
		w.kill(t, postgresProcess)
		w.startPostgres(t)
	}()
	c := w.captured(t, "outrun")
	c.writers.more(t, 300)
	w.kill(t, connectProcess)
	c.writers.more(t, 300)
	until(t, "the service to say that its slot is lost", func() bool {
		w.admin(t, "postgres", `CREATE TABLE noise AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 20000)`, `DROP TABLE noise`,
			`SELECT pg_switch_wal()`, `CHECKPOINT`)
		err := c.relay.Ready()
		return err != nil && strings.Contains(err.Error(), "max_slot_wal_keep_size")
	})
	t.Log(c.relay.Ready())
	w.startConnect(t)
	c.writers.more(t, 100)
	if err := c.control.Recover(t.Context(), c.service); err != nil {
		t.Fatal(err)
	}
	c.writers.more(t, 300)
	waitReady(t, c.relay)
	c.writers.verify(t)
}

// heartbeatsMoveTheSlot checks that the slot moves while nothing is published and another database
// writes.
func heartbeatsMoveTheSlot(t *testing.T, w *world) {
	s := w.shop(t, "idle")
	s.relay(t)
	control, service := s.control(t)
	if err := control.UseDebezium(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	mode := func() capture.RelayMode {
		t.Helper()
		m, err := capture.ReadMode(t.Context(), s.pool, 0)
		if err != nil || m.State == nil {
			t.Fatalf("%+v, %v", m, err)
		}
		return m
	}
	before := mode()
	const written = 32 << 20
	w.admin(t, "postgres", `CREATE TABLE noise AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 32768)`, `DROP TABLE noise`)
	until(t, "the slot to pass what the other database wrote", func() bool { return mode().State.LagBytes < written/8 })
	t.Logf("lag %d bytes before, %d after 32 MiB by another database", before.State.LagBytes, mode().State.LagBytes)
	w.kill(t, connectProcess) // it restarts from there
	w.startConnect(t)
	s.append(t, s.event("o-1", 1), s.event("o-2", 1))
	until(t, "the events of after", func() bool { return len(s.records(t)) == 2 })
	until(t, "them to count as published", func() bool { return s.count(t, "id IN (SELECT id FROM outbox_queue)") == 0 })
}
