package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/ops/eventshop"
	"eventshop.example/pkg/postgres"
)

// own starts a stack for a test that would spoil the common one.
func own(t *testing.T) *stack {
	t.Helper()
	dir, err := os.MkdirTemp("", "eventshop-e2e-own-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the database server's user must be able to enter
		t.Fatal(err)
	}
	s, err := up(dir)
	t.Cleanup(func() {
		if s != nil {
			if t.Failed() {
				s.dumpLogs()
			}
			s.gone()
		}
		os.RemoveAll(dir)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestABrokerThatLostItsData checks that the outboxes still have everything, and that every
// consumer recognises what it has already handled.
func TestABrokerThatLostItsData(t *testing.T) {
	if testing.Short() {
		t.Skip("the long run is left out with -short")
	}
	t.Parallel() // with other tests that have their own stack and mostly wait
	s := own(t)
	const stock = plenty
	sku := s.stock(t, "LOST-1", stock)
	l := s.startLoad(t, sku, 10, "lost")
	l.await(t, 30)
	s.must(t, "kill", "broker")
	s.must(t, "wipe", "broker")
	l.await(t, 10) // orders are accepted meanwhile
	s.must(t, "outbox", "hold", "--reason", "the broker lost its disk")
	s.must(t, "start", "broker")
	s.must(t, "up", "--detach") // creates the topics
	s.awaitUnready(t, "the broker lost its disk", "order")
	s.must(t, "outbox", "republish", "--yes")
	s.must(t, "outbox", "release")
	l.await(t, 10)
	orders := l.stop()
	if ended := s.endOf(t, orders); ended["DELIVERED"] != len(orders) {
		t.Errorf("of %d orders ended %v, want all delivered", len(orders), ended)
	}
	s.wantStock(t, sku, stock, len(orders))
	s.awaitReady(t, eventshop.Services()...)
	s.verify(t)
}

// TestOldPartitionsGo plants days that are long past: a day is dropped if all its rows are
// published, and kept otherwise.
func TestOldPartitionsGo(t *testing.T) {
	s := shared(t)
	c, err := pgx.Connect(t.Context(), s.DSN["inventory"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	exists := func(partition string) (yes bool) {
		if err := c.QueryRow(t.Context(), `SELECT to_regclass($1) IS NOT NULL`, partition).Scan(&yes); err != nil {
			t.Fatal(err)
		}
		return yes
	}
	plant := func(table string, daysAgo int, insert string) (partition string) {
		day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -daysAgo)
		partition = postgres.PartitionName(table, day)
		// Created as the service creates it: owned by the tables' owner, readable to the service.
		if _, err := c.Exec(t.Context(), `SELECT create_day_partition($1, $2::date)`, table, day); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { // else later runs of verify would wait for what is never published
			s.exec(t, "inventory", `DROP TABLE IF EXISTS `+partition)
			s.exec(t, "inventory", `DELETE FROM outbox_queue WHERE shard = 99`)
		})
		if _, err := c.Exec(t.Context(), insert, within(day)); err != nil {
			t.Fatal(err)
		}
		return partition
	}
	// No relay leads a shard of that number, so the row is never sent.
	const row = `INSERT INTO outbox (id, shard, aggregate_type, aggregate_id, event_type, topic, payload, created_at, published_at)
		VALUES ($1, 99, '', '', '', 'none', 'x', now() - interval '90 days', `
	published := plant("outbox", 90, row+`now())`)
	s.must(t, "kill", "inventory")
	waiting := plant("outbox", 91, row+`NULL)`)
	received := plant("inbox", 92, `INSERT INTO inbox (consumer_group, message_id, event_type, received_at) VALUES ('inventory', $1, 'none', now() - interval '92 days')`)
	lately := plant("inbox", 93, `INSERT INTO inbox (consumer_group, message_id, event_type) VALUES ('inventory', $1, 'none')`)
	s.must(t, "start", "inventory") // upkeep runs at the start, then hourly
	eventually(t, 30*time.Second, "the old days are gone", func() bool { return !exists(published) && !exists(received) })
	if !exists(waiting) {
		t.Error("a day with an unpublished row is gone")
	}
	if !exists(lately) {
		t.Error("a day whose messages were received lately is gone")
	}
}

// within returns a UUIDv7 of the day.
func within(day time.Time) uuid.UUID {
	id := postgres.LowerBound(day.Add(time.Hour))
	id[6], id[8] = 0x70, 0x80
	return id
}
