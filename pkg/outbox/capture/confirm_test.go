package capture

import (
	"slices"
	"strings"
	"testing"
	"time"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/outboxtest"
)

// fixture is a table whose events Debezium sends from the log.
type fixture struct{ *outboxtest.Table }

func newFixture(t *testing.T) fixture {
	t.Helper()
	f := fixture{outboxtest.NewLogical(t)}
	f.CreateSlot(t)
	if err := SetMode(t.Context(), f.Pool, Debezium, outboxtest.Slot, "test"); err != nil {
		t.Fatal(err)
	}
	return f
}

// newConfirmer returns a confirmer of a process that leads the given shards.
func newConfirmer(f fixture, led ...int16) *Confirmer {
	return NewConfirmer(f.Pool, Config{Shards: func() []int16 { return led }})
}

// The Confirmer marks only events that polling does not send, and only of the shards that its
// process leads.
func TestConfirmsOnlyWhatDebeziumSends(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tx := f.Begin(t)
	f.Insert(t, tx, "again", "event")
	f.Raws(t, tx, 10, "raw")
	f.Insert(t, tx, "event")
	outboxtest.Commit(t, tx)
	f.Again(t, `convert_from(key, 'UTF8') = 'again'`)
	confirm := func(led ...int16) {
		t.Helper()
		c := newConfirmer(f, led...)
		var at progress
		for range 3 {
			m, err := c.look(t.Context())
			if err == nil {
				err = c.confirm(t.Context(), m, &at)
			}
			if err != nil {
				t.Fatal(err)
			}
			f.Heartbeat(t)
			f.Consume(t)
		}
	}
	confirm()
	if n := f.Unpublished(t); n != 4 {
		t.Errorf("%d unpublished, want 4: the process leads no shard", n)
	}
	var others []int16
	for shard := range int16(outbox.Shards) {
		if shard != outbox.ShardOf([]byte("event")) {
			others = append(others, shard)
		}
	}
	confirm(others...)
	if n := f.Unpublished(t); n != 4 {
		t.Errorf("%d unpublished, want 4: the process leads other shards", n)
	}
	confirm(0, 1, 2, 3)
	var left []string
	if err := f.Pool.QueryRow(t.Context(), `SELECT array_agg(convert_from(key, 'UTF8') ORDER BY seq) FROM outbox WHERE id IN (SELECT id FROM outbox_queue)`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(left, []string{"again", "raw"}) {
		t.Errorf("left for polling: %v", left)
	}
}

// A slot without a reader is an error only after a while, because a connector may be restarting.
func TestASlotWithoutAReader(t *testing.T) {
	t.Parallel()
	c := NewConfirmer(nil, Config{}) // note needs no database
	m := RelayMode{Mode: Debezium, Slot: outboxtest.Slot, State: &SlotState{WALStatus: "reserved"}}
	var unread time.Time
	c.note(m, &unread)
	if unread.IsZero() || c.Ready() != nil {
		t.Errorf("unread since %v, ready: %v", unread, c.Ready())
	}
	unread = time.Now().Add(-unreadFor - time.Second)
	c.note(m, &unread)
	if err := c.Ready(); err == nil || !strings.Contains(err.Error(), outboxtest.Slot) || !strings.Contains(err.Error(), "no process reads") {
		t.Errorf("ready: %v", err)
	}
	m.State.Active = true
	c.note(m, &unread)
	if !unread.IsZero() || c.Ready() != nil {
		t.Errorf("unread since %v although it is read, ready: %v", unread, c.Ready())
	}
}

// TestWhatCommitsLateIsNotConfirmedEarly covers two cases: a row with a lower sequence number whose
// transaction is open while the slot advances, and a row whose commit in the log is after the
// position to which the slot is confirmed.
func TestWhatCommitsLateIsNotConfirmedEarly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := newConfirmer(f, 0, 1, 2, 3)
	var at progress
	look := func() {
		t.Helper()
		m, err := c.look(t.Context())
		if err == nil {
			err = c.confirm(t.Context(), m, &at)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	unpublished := func(want int64, when string) {
		t.Helper()
		if got := f.Unpublished(t); got != want {
			t.Errorf("%s: %d rows unpublished, want %d", when, got, want)
		}
	}

	late := f.Begin(t)
	f.Insert(t, late, "a") // seq 1
	f.Append(t, "b")       // seq 2
	look()
	f.Consume(t)
	look()
	look()
	unpublished(1, "a writer of before is still at it")
	if at.round == nil || at.round.lsn != "" {
		t.Errorf("the position was noted although the writer has not ended: %+v", at.round)
	}
	outboxtest.Commit(t, late)
	look()
	look()
	unpublished(2, "both are committed, the slot has not passed the second")
	f.Consume(t)
	look()
	unpublished(0, "the slot has passed both")

	// In the next round a row is committed after the noted position, and does not belong to the
	// round.
	f.Append(t, "c")
	look()
	f.Consume(t)
	f.Append(t, "d")
	look()
	unpublished(1, "d is not read yet")
}

// What a round learnt before a crash of the server means nothing after it: neither the position in
// the log, nor the sequence number.
func TestARoundEndsWithACrash(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := newConfirmer(f, 0, 1, 2, 3)
	var at progress
	look := func() {
		t.Helper()
		m, err := c.look(t.Context())
		if err == nil {
			err = c.confirm(t.Context(), m, &at)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f.Append(t, "a", "b")
	look()
	if at.round == nil || at.round.lsn == "" {
		t.Fatalf("%+v", at)
	}
	f.Crash(t)
	f.Heartbeat(t)
	f.Consume(t)
	look()
	if n := f.Unpublished(t); n != 2 {
		t.Errorf("%d wait after the crash, want both", n)
	}
	for range 3 {
		f.Heartbeat(t)
		f.Consume(t)
		look()
	}
	if n := f.Unpublished(t); n != 0 {
		t.Errorf("%d wait after another round", n)
	}
	var published int
	err := f.Pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox_history WHERE published_at BETWEEN created_at AND clock_timestamp()`).Scan(&published)
	if err != nil || published != 2 {
		t.Errorf("%d rows have the time of their publication, %v", published, err)
	}
}
