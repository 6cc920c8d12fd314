package outbox

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/postgres/server"
)

const testSlot = "eventshop_test"

// newLogicalFixture has a server of its own whose log can be decoded.
func newLogicalFixture(t *testing.T) *fixture {
	t.Helper()
	bin := pgtest.Binaries(t)
	srv, err := server.StartTemporary(t.Context(), bin, "wal_level=logical", "max_wal_senders=4",
		"synchronous_commit=on") // a slot gives out what is flushed
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	})
	url := srv.URL("postgres")
	if err := postgres.Migrate(t.Context(), url, Component()); err != nil {
		t.Fatal(err)
	}
	return &fixture{pool: open(t, url), url: url, brokers: kafkatest.Start(t, testTopic), out: New(nil, "/test"), next: map[string]int64{}}
}

func (f *fixture) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := f.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// capture makes the slot and sets the mode.
func (f *fixture) capture(t *testing.T) {
	t.Helper()
	f.exec(t, `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, testSlot)
	if err := f.out.SetRelayMode(t.Context(), f.pool, Debezium, testSlot, "test"); err != nil {
		t.Fatal(err)
	}
}

// consume reads the slot to its end, as Debezium does.
func (f *fixture) consume(t *testing.T) (messages int) {
	t.Helper()
	err := f.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_logical_slot_get_binary_changes($1, NULL, NULL,
		'proto_version', '1', 'publication_names', 'eventshop_outbox')`, testSlot).Scan(&messages)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

func (f *fixture) mode(t *testing.T) RelayMode {
	t.Helper()
	m, err := f.out.RelayMode(t.Context(), f.pool, 1<<62)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestDebeziumRelaysEventsAndPollingTheRest: what the slot has passed is marked and not
// sent, raw rows are sent.
func TestDebeziumRelaysEventsAndPollingTheRest(t *testing.T) {
	t.Parallel()
	f := newLogicalFixture(t)
	f.append(t, keys(50, 5)...)
	r := f.start(t, quick)
	f.awaitPublished(t)
	f.capture(t)
	kafkatest.Eventually(t, "the relay to follow", func() bool { return *r.mode.Load() == Debezium })
	f.append(t, keys(50, 5)...)
	raw := Raw{ID: uuid.Must(uuid.NewV7()), Topic: testTopic.Name, Key: []byte("raw"), Payload: []byte("x"), Headers: []events.Header{{Key: "a"}}}
	tx := f.begin(t)
	if err := f.out.AppendRaw(t.Context(), tx, raw); err != nil {
		t.Fatal(err)
	}
	commit(t, tx)
	f.out.Wake()
	kafkatest.Eventually(t, "the raw row to be published", func() bool { return f.stats(t).Unpublished == 50 })
	if m := f.mode(t); m.Mode != Debezium || m.Waiting != 50 || m.State == nil || m.State.LagBytes == 0 {
		t.Errorf("%+v, %+v", m, m.State)
	}
	if n := f.consume(t); n < 50 {
		t.Errorf("the slot has %d messages, want those of 50 inserts", n)
	}
	kafkatest.Eventually(t, "what the slot has passed to be marked", func() bool {
		f.exec(t, `SELECT pg_logical_emit_message(true, 'heartbeat', '')`)
		f.consume(t)
		return f.stats(t).Unpublished == 0
	})
	if n := len(kafkatest.ReadAll(t, f.brokers, testTopic.Name)); n != 51 {
		t.Errorf("the polling relay sent %d records, want 50 before and the raw one", n)
	}
}

// TestWhatCommitsLateIsNotConfirmedEarly: a row with a lower sequence number whose
// transaction is open while the slot moves on, and one that commits in the log behind the
// position to which the slot is confirmed.
func TestWhatCommitsLateIsNotConfirmedEarly(t *testing.T) {
	t.Parallel()
	f := newLogicalFixture(t)
	f.capture(t)
	r := NewRelay(f.pool, f.out, quick)
	shards, _, err := r.claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	r.flight.lead(shards, now, now.Add(time.Hour))
	var c confirmation
	look := func() {
		t.Helper()
		m, err := f.out.captureState(t.Context(), r)
		if err == nil {
			err = r.confirm(t.Context(), m, &c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	unpublished := func(want int64, when string) {
		t.Helper()
		if got := f.stats(t).Unpublished; got != want {
			t.Errorf("%s: %d rows unpublished, want %d", when, got, want)
		}
	}

	late := f.begin(t)
	f.insert(t, late, "a") // seq 1
	f.append(t, "b")       // seq 2
	look()
	f.consume(t)
	look()
	look()
	unpublished(1, "a writer of before is still at it")
	if c.lsn != "" {
		t.Errorf("the position was noted although the writer has not ended: %+v", c)
	}
	commit(t, late)
	look()
	look()
	unpublished(2, "both are committed, the slot has not passed the second")
	f.consume(t)
	look()
	unpublished(0, "the slot has passed both")

	// The next round: a row comes behind the noted position and is not of the round.
	f.append(t, "c")
	look()
	f.consume(t)
	f.append(t, "d")
	look()
	unpublished(1, "d is not read yet")
	if n := len(kafkatest.ReadAll(t, f.brokers, testTopic.Name)); n != 0 {
		t.Errorf("%d records were sent by polling", n)
	}
}

// slotMetrics are the values of eventshop_outbox_slot by their label.
func slotMetrics(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "eventshop_outbox_slot" {
			continue
		}
		for _, m := range family.GetMetric() {
			all[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	return all
}

// TestALostSlot is told, confirms nothing any more, also when a slot of its name appears,
// and the way back sends all that is not confirmed.
func TestALostSlot(t *testing.T) {
	t.Parallel()
	f := newLogicalFixture(t)
	f.capture(t)
	measured := quick
	reg := prometheus.NewRegistry()
	measured.Registerer = reg
	r := f.start(t, measured)
	f.append(t, keys(30, 3)...)
	kafkatest.Eventually(t, "the slot in the metrics", func() bool {
		slot := slotMetrics(t, reg)
		return slot["lost"] == 0 && slot["lag_bytes"] > 0 && slot["retained_bytes"] >= slot["lag_bytes"]
	})
	f.exec(t, `SELECT pg_drop_replication_slot($1)`, testSlot)
	kafkatest.Eventually(t, "the relay to say so", func() bool {
		err := r.Ready()
		return err != nil && strings.Contains(err.Error(), testSlot+" does not exist") && strings.Contains(err.Error(), "shop relay recover")
	})
	if slot := slotMetrics(t, reg); slot["lost"] != 1 || len(slot) != 2 {
		t.Errorf("metrics of a slot that is lost: %v", slot)
	}
	f.exec(t, `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, testSlot)
	if m := f.mode(t); m.Lost == "" || m.Waiting != 30 {
		t.Errorf("%+v", m)
	}
	if err := f.out.SetRelayMode(t.Context(), f.pool, Debezium, testSlot, "test"); errs.KindOf(err) != errs.Conflict {
		t.Errorf("to go on with another slot of the name: %v, want a conflict", err)
	}
	if err := f.out.SetRelayMode(t.Context(), f.pool, Polling, "", "test"); err != nil {
		t.Fatal(err)
	}
	f.awaitPublished(t)
	kafkatest.Eventually(t, "the relay to be ready", func() bool { return r.Ready() == nil })
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}

func TestSetRelayModeRefuses(t *testing.T) {
	t.Parallel()
	f := newLogicalFixture(t)
	conflict := func(err error, want string) {
		t.Helper()
		if errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a conflict with %q", err, want)
		}
	}
	set := func(mode Mode, slot string) error { return f.out.SetRelayMode(t.Context(), f.pool, mode, slot, "test") }
	conflict(set(Debezium, testSlot), "does not exist")
	for _, slot := range []string{"", "x"} {
		if err := set("both", slot); errs.KindOf(err) != errs.Invalid {
			t.Errorf("mode both with slot %q: %v", slot, err)
		}
	}
	if err := set(Debezium, ""); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no slot: %v", err)
	}
	if err := f.out.Hold(t.Context(), f.pool, "x"); err != nil {
		t.Fatal(err)
	}
	f.exec(t, `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, testSlot)
	conflict(set(Debezium, testSlot), "held")
	if err := f.out.Release(t.Context(), f.pool); err != nil {
		t.Fatal(err)
	}
	f.append(t, "a")
	f.exec(t, `UPDATE outbox SET publication = 2`)
	conflict(set(Debezium, testSlot), "published again")
	f.exec(t, `UPDATE outbox SET published_at = now()`)
	for range 2 {
		if err := set(Debezium, testSlot); err != nil {
			t.Fatal(err)
		}
	}
	conflict(set(Debezium, "another"), testSlot)
	conflict(f.out.Hold(t.Context(), f.pool, "x"), "Debezium")
	_, err := f.out.Republish(t.Context(), f.pool, Selection{})
	conflict(err, "Debezium")

	// A reader: another session that holds the slot.
	reader, err := pgx.Connect(t.Context(), f.url+"&replication=database")
	if err != nil {
		t.Fatal(err)
	}
	reading, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	defer func() {
		stop()
		<-ended // the connection is the goroutine's until then
		reader.Close(context.WithoutCancel(t.Context()))
	}()
	go func() {
		defer close(ended)
		reader.PgConn().Exec(reading, `START_REPLICATION SLOT `+testSlot+` LOGICAL 0/0 ("proto_version" '1', "publication_names" 'eventshop_outbox')`).ReadAll() //nolint:errcheck // it is cut off
	}()
	kafkatest.Eventually(t, "the slot to be read", func() bool { m := f.mode(t); return m.State != nil && m.State.Active })
	conflict(set(Polling, ""), "is being read")
}
