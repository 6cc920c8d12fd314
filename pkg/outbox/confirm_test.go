package outbox

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// What a slot passes is confirmed of events that polling does not send, and by the relay that
// leads their shards.
func TestConfirmsOnlyWhatDebeziumSends(t *testing.T) {
	t.Parallel()
	f := newLogicalFixture(t)
	f.capture(t)
	tx := f.begin(t)
	f.insert(t, tx, "again", "event")
	f.raws(t, tx, 10, "raw")
	f.insert(t, tx, "event")
	commit(t, tx)
	f.exec(t, `UPDATE outbox SET publication = 2 WHERE convert_from(key, 'UTF8') = 'again'`)
	r := NewRelay(f.pool, f.out, quick)
	confirm := func() {
		t.Helper()
		var c confirmation
		for range 3 {
			m, err := f.out.captureState(t.Context(), r)
			if err == nil {
				err = r.confirm(t.Context(), m, &c)
			}
			if err != nil {
				t.Fatal(err)
			}
			f.exec(t, `SELECT pg_logical_emit_message(true, 'heartbeat', '')`)
			f.consume(t)
		}
	}
	confirm()
	if n := f.stats(t).Unpublished; n != 4 {
		t.Errorf("%d unpublished, want 4: the relay leads no shard", n)
	}
	now := time.Now()
	var others []int16
	for shard := range int16(shards) {
		if shard != shardOf([]byte("event")) {
			others = append(others, shard)
		}
	}
	r.flight.lead(others, now, now.Add(time.Hour))
	confirm()
	if n := f.stats(t).Unpublished; n != 4 {
		t.Errorf("%d unpublished, want 4: the relay leads other shards", n)
	}
	r.flight.lead([]int16{0, 1, 2, 3}, now, now.Add(time.Hour))
	confirm()
	var left []string
	if err := f.pool.QueryRow(t.Context(), `SELECT array_agg(convert_from(key, 'UTF8') ORDER BY seq) FROM outbox WHERE published_at IS NULL`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(left, []string{"again", "raw"}) {
		t.Errorf("left for polling: %v", left)
	}
}

// A slot without a reader is a trouble after a while: a connector may be restarting.
func TestASlotWithoutAReader(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	r := NewRelay(f.pool, f.out, quick)
	m := RelayMode{Mode: Debezium, Slot: testSlot, State: &SlotState{WALStatus: "reserved"}}
	var unread time.Time
	r.noteCapture(m, &unread)
	if unread.IsZero() || r.Ready() != nil {
		t.Errorf("unread since %v, ready: %v", unread, r.Ready())
	}
	unread = time.Now().Add(-unreadFor - time.Second)
	r.noteCapture(m, &unread)
	if err := r.Ready(); err == nil || !strings.Contains(err.Error(), testSlot) || !strings.Contains(err.Error(), "nobody reads") {
		t.Errorf("ready: %v", err)
	}
	m.State.Active = true
	r.noteCapture(m, &unread)
	if !unread.IsZero() || r.Ready() != nil {
		t.Errorf("unread since %v although it is read, ready: %v", unread, r.Ready())
	}
}
