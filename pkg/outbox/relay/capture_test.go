package relay

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/capture"
	"eventshop.example/pkg/outbox/outboxtest"
)

func newLogicalFixture(t *testing.T) *fixture {
	t.Helper()
	return &fixture{Table: outboxtest.NewLogical(t), brokers: kafkatest.Start(t, testTopic)}
}

func (f *fixture) mode(t *testing.T) capture.RelayMode {
	t.Helper()
	m, err := capture.ReadMode(t.Context(), f.Pool, 1<<62)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// capture creates the slot and sets the mode.
func (f *fixture) capture(t *testing.T) {
	t.Helper()
	f.CreateSlot(t)
	if err := capture.SetMode(t.Context(), f.Pool, capture.Debezium, outboxtest.Slot, "test"); err != nil {
		t.Fatal(err)
	}
}

// TestDebeziumRelaysEventsAndPollingTheRest: rows that the slot has passed are marked and not sent
// by polling. Raw rows are sent.
func TestDebeziumRelaysEventsAndPollingTheRest(t *testing.T) {
	t.Parallel()
	f := newLogicalFixture(t)
	f.Append(t, outboxtest.Keys(50, 5)...)
	r := f.start(t, quick)
	f.awaitPublished(t)
	f.capture(t)
	kafkatest.Eventually(t, "the relay to follow", func() bool { return *r.table.mode.Load() == capture.Debezium })
	f.Append(t, outboxtest.Keys(50, 5)...)
	raw := outbox.Raw{ID: uuid.Must(uuid.NewV7()), Topic: testTopic.Name, Key: []byte("raw"), Payload: []byte("x"), Headers: []event.Header{{Key: "a"}}}
	tx := f.Begin(t)
	if err := f.Out.AppendRaw(t.Context(), tx, raw); err != nil {
		t.Fatal(err)
	}
	outboxtest.Commit(t, tx)
	f.Out.Wake()
	kafkatest.Eventually(t, "the raw row to be published", func() bool { return f.stats(t).Unpublished == 50 })
	if m := f.mode(t); m.Mode != capture.Debezium || m.Waiting != 50 || m.State == nil || m.State.LagBytes == 0 {
		t.Errorf("%+v, %+v", m, m.State)
	}
	if n := f.Consume(t); n < 50 {
		t.Errorf("the slot has %d messages, want those of 50 inserts", n)
	}
	kafkatest.Eventually(t, "what the slot has passed to be marked", func() bool {
		f.Heartbeat(t)
		f.Consume(t)
		return f.stats(t).Unpublished == 0
	})
	if n := len(kafkatest.ReadAll(t, f.brokers, testTopic.Name)); n != 51 {
		t.Errorf("the polling relay sent %d records, want 50 before and the raw one", n)
	}
}

// slotMetrics returns the values of outbox_slot by their label.
func slotMetrics(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "outbox_slot" {
			continue
		}
		for _, m := range family.GetMetric() {
			all[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	return all
}

// TestALostSlot: a lost slot is reported and confirms nothing any more, even when a slot of its
// name appears. After the change to polling, the relay sends every unconfirmed event.
func TestALostSlot(t *testing.T) {
	t.Parallel()
	f := newLogicalFixture(t)
	f.capture(t)
	measured := quick
	reg := prometheus.NewRegistry()
	measured.Registerer = reg
	r := f.start(t, measured)
	f.Append(t, outboxtest.Keys(30, 3)...)
	kafkatest.Eventually(t, "the slot in the metrics", func() bool {
		slot := slotMetrics(t, reg)
		return slot["lost"] == 0 && slot["lag_bytes"] > 0 && slot["retained_bytes"] >= slot["lag_bytes"]
	})
	f.Exec(t, `SELECT pg_drop_replication_slot($1)`, outboxtest.Slot)
	kafkatest.Eventually(t, "the relay to say so", func() bool {
		err := r.Ready()
		return err != nil && strings.Contains(err.Error(), outboxtest.Slot+" does not exist") && strings.Contains(err.Error(), "change the mode to polling")
	})
	if slot := slotMetrics(t, reg); slot["lost"] != 1 || len(slot) != 2 {
		t.Errorf("metrics of a slot that is lost: %v", slot)
	}
	f.CreateSlot(t)
	if m := f.mode(t); m.Lost == "" || m.Waiting != 30 {
		t.Errorf("%+v", m)
	}
	if err := capture.SetMode(t.Context(), f.Pool, capture.Debezium, outboxtest.Slot, "test"); errs.KindOf(err) != errs.Conflict {
		t.Errorf("to go on with another slot of the name: %v, want a conflict", err)
	}
	if err := capture.SetMode(t.Context(), f.Pool, capture.Polling, "", "test"); err != nil {
		t.Fatal(err)
	}
	f.awaitPublished(t)
	kafkatest.Eventually(t, "the relay to be ready", func() bool { return r.Ready() == nil })
	if n := f.verify(t); n != 0 {
		t.Errorf("%d repetitions", n)
	}
}
