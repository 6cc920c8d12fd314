package outboxtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
)

// Slot is the name of the replication slot that [Table.CreateSlot] creates.
const Slot = "outboxtest"

// NewLogical returns an empty table on a server of the test's own with logical decoding. One role
// has all rights.
func NewLogical(t testing.TB) *Table {
	t.Helper()
	bin := pgtest.Binaries(t)
	srv, err := server.StartTemporary(t.Context(), bin, "wal_level=logical", "max_wal_senders=4", "max_prepared_transactions=4",
		"synchronous_commit=on") // a slot returns only what is flushed
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	})
	url := srv.URL("postgres")
	if err := postgres.Migrate(t.Context(), url, outbox.Component()); err != nil {
		t.Fatal(err)
	}
	return &Table{Pool: Open(t, url), URL: url, Out: Outbox(), next: map[string]int64{}}
}

// Crash makes the server recover from a crash, by killing one of its processes. It returns when the
// server answers again.
func (f *Table) Crash(t testing.TB) {
	t.Helper()
	var conns [2]*pgx.Conn
	for i := range conns {
		var err error
		if conns[i], err = pgx.Connect(t.Context(), f.URL); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close(context.WithoutCancel(t.Context()))
	}
	// The statement itself may be cut off.
	_, _ = f.Pool.Exec(t.Context(), fmt.Sprintf(`COPY (SELECT 1) TO PROGRAM 'kill -9 %d'`, conns[0].PgConn().PID()))
	// The server has noticed the death of one process when it ends the others. Until then it still
	// accepts connections.
	for _, conn := range conns {
		kafkatest.Eventually(t, "the process to end", func() bool { return conn.Ping(t.Context()) != nil })
	}
	kafkatest.Eventually(t, "the server to recover", func() bool {
		f.Pool.Reset() // its connections are broken
		return f.Pool.Ping(t.Context()) == nil
	})
}

// CreateSlot creates [Slot] for the plugin that Debezium reads.
func (f *Table) CreateSlot(t testing.TB) {
	t.Helper()
	f.Exec(t, `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, Slot)
}

// Publication returns the name of the publication that the migrations of the outbox created.
func (f *Table) Publication(t testing.TB) (name string) {
	t.Helper()
	err := f.Pool.QueryRow(t.Context(), `SELECT pubname FROM pg_publication_tables WHERE tablename = 'outbox'`).Scan(&name)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Consume reads [Slot] to its end, as Debezium does, and returns the number of messages.
func (f *Table) Consume(t testing.TB) (messages int) {
	t.Helper()
	err := f.Pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_logical_slot_get_binary_changes($1, NULL, NULL,
		'proto_version', '1', 'publication_names', $2)`, Slot, f.Publication(t)).Scan(&messages)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

// Heartbeat writes a message to the log that is no event, so that a slot can move past the last
// event.
func (f *Table) Heartbeat(t testing.TB) {
	t.Helper()
	f.Exec(t, `SELECT pg_logical_emit_message(true, 'heartbeat', '')`)
}
