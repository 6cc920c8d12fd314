package relay

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

// bench is a flight with a clock that only advances when a test advances it.
type bench struct {
	*flight
	t   *testing.T
	now time.Time
	seq int64
}

// newBench leads all shards for an hour and pauses for a second after each refusal.
func newBench(t *testing.T) *bench {
	b := &bench{flight: newFlight(), t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	b.deferrals.pause = func(int) time.Duration { return time.Second }
	b.setLeases([]int16{0, 1, 2, 3}, b.now, b.now.Add(time.Hour))
	b.drainSignals()
	return b
}

func (b *bench) drainSignals() {
	for _, ch := range []chan struct{}{b.toMark, b.room, b.reread} {
		select {
		case <-ch:
		default:
		}
	}
}

func signalled(ch chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// rows returns the next rows of the keys, each of ten bytes and of shard 0.
func (b *bench) rows(keys ...string) (rows []*record) {
	for _, key := range keys {
		b.seq++
		rows = append(rows, &record{seq: b.seq, id: uuid.New(), orderKey: orderKey{topic: "t", key: key}, size: 10, kafka: &kgo.Record{}})
	}
	return rows
}

// read is a read of these rows that began and ended now.
func (b *bench) read(keys ...string) (send []*record) {
	b.t.Helper()
	send, ok := b.admit(b.rows(keys...), b.look().generation, b.now)
	if !ok {
		b.t.Fatal("a read that nothing has come between was refused")
	}
	return send
}

func (b *bench) look() view { return b.view(b.now, 1000) }

func (b *bench) expect(rows, sent, acked, bytes int) {
	b.t.Helper()
	r, s, a, _ := b.counts()
	if v := b.look(); r != rows || s != sent || a != acked || v.bytes != bytes || len(v.inFlight) != rows {
		b.t.Errorf("%d rows (%d excluded from reads), %d at the producer, %d acknowledged, %d bytes; want %d, %d, %d, %d",
			r, len(v.inFlight), s, a, v.bytes, rows, sent, acked, bytes)
	}
}

func names(records []*record) (all []string) {
	for _, r := range records {
		all = append(all, fmt.Sprintf("%s%d", r.orderKey.key, r.seq))
	}
	return all
}

func TestFlightSendsOneRecordOfALaneAtATime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	send := b.read("a", "b", "a", "a")
	if got := names(send); !slices.Equal(got, []string{"a1", "b2"}) {
		t.Fatalf("sends %v, want the first of each key", got)
	}
	if more := b.read("a", "c"); !slices.Equal(names(more), []string{"c6"}) {
		t.Errorf("sends %v while a1 is at the producer", names(more))
	}
	b.expect(6, 3, 0, 60)
	if next := b.acknowledged(send[0], b.now); next == nil || next.seq != 3 || next.sentAt != b.now {
		t.Errorf("after a1: %+v, want a3, sent now", next)
	} else if next = b.acknowledged(next, b.now); next == nil || next.seq != 4 {
		t.Errorf("after a3: %+v, want a4", next)
	}
	if next := b.acknowledged(send[1], b.now); next != nil {
		t.Errorf("after b2: %+v, want nothing", next)
	}
	b.expect(6, 2, 3, 30)
	if !signalled(b.toMark) {
		t.Error("the mark loop is not told that there is something to mark")
	}
}

// Reads exclude a row until its mark, which may fail.
func TestFlightKeepsARowUntilItIsMarked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	send := b.read("a", "b", "c")
	for _, r := range send {
		b.acknowledged(r, b.now)
	}
	first := b.takeAcked(2)
	if !slices.Equal(names(first), []string{"a1", "b2"}) {
		t.Fatalf("to mark: %v", names(first))
	}
	b.expect(3, 0, 1, 0)
	b.unmarked(first)
	b.expect(3, 0, 3, 0)
	all := b.takeAcked(10)
	if len(all) != 3 || len(b.takeAcked(10)) != 0 {
		t.Errorf("to mark: %v", names(all))
	}
	b.drainSignals()
	b.marked(all)
	b.expect(0, 0, 0, 0)
	if !signalled(b.room) {
		t.Error("the read loop is not told that there is room")
	}
}

// A change happens between the view of a read and its return.
func TestFlightThrowsAwayAReadThatMissedADrop(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(b *bench, a *record){
		"a refusal":              func(b *bench, a *record) { b.refused(a, errors.New("no"), false, b.now) },
		"a refusal by the topic": func(b *bench, a *record) { b.refused(a, errors.New("no"), true, b.now) },
		"an abandon":             func(b *bench, _ *record) { b.abandon(func(int16) bool { return true }) },
		"an abandon of nothing":  func(b *bench, _ *record) { b.abandon(func(int16) bool { return false }) },
		"the loss of the shard":  func(b *bench, _ *record) { b.setLeases([]int16{1}, b.now, b.now.Add(time.Hour)) },
		"the loss of the shard, and its gain": func(b *bench, _ *record) {
			b.releaseShards(nil, b.now)
			b.setLeases([]int16{0}, b.now, b.now.Add(time.Hour))
		},
		"the end of the lease": func(b *bench, _ *record) { b.now = b.now.Add(time.Hour + 1) },
		"an acknowledgement after its end": func(b *bench, a *record) {
			b.acknowledged(a, b.now.Add(time.Hour+1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			a := b.read("a", "a")[0]
			before, rows := b.look(), b.rows("a", "b")
			between(b, a)
			if send, ok := b.admit(rows, before.generation, b.now); ok || len(send) != 0 {
				t.Errorf("admitted, sends %v", names(send))
			}
		})
	}
}

func TestFlightReadsAgainAfterARefusal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	send := b.read("a", "a", "b")
	b.drainSignals()
	h := b.refused(send[0], errors.New("no"), false, b.now)
	if !signalled(b.reread) || !signalled(b.room) {
		t.Error("the read loop is not told that rows were dropped")
	}
	b.expect(1, 1, 0, 10) // the refused row and the rows behind it are removed
	if h.attempts != 1 || h.since != b.now || h.until != b.now.Add(time.Second) {
		t.Errorf("hold %+v", h)
	}
	v := b.look()
	if !slices.Equal(v.keyTopics, []string{"t"}) || len(v.keys) != 1 || string(v.keys[0]) != "a" || v.nextDue != h.until || len(v.topics) != 0 {
		t.Errorf("held back %v %q until %v", v.keyTopics, v.keys, v.nextDue)
	}
	b.now = h.until
	if v = b.look(); len(v.keys) != 0 || !v.nextDue.IsZero() {
		t.Errorf("still held back at the end of the pause: %q until %v", v.keys, v.nextDue)
	}
	first := h.since
	again := b.read("a")[0]
	if h = b.refused(again, errors.New("no"), false, b.now); h.attempts != 2 || h.since != first {
		t.Errorf("second refusal: %+v, want two attempts since the first", h)
	}
	b.now = h.until
	b.acknowledged(b.read("a")[0], b.now)
	if n := b.deferredCount(); n != 0 {
		t.Errorf("%d held back after the record was taken", n)
	}
}

func TestFlightHoldsATopicBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	send := b.read("a", "b", "c")
	h := b.refused(send[0], errors.New("no"), true, b.now)
	if one := b.refused(send[1], errors.New("no"), true, b.now.Add(time.Millisecond)); one.attempts != 1 || one.until != h.until || !one.unlogged || h.unlogged {
		t.Errorf("the second of many: %+v, want the first one's hold, not to be logged", one)
	}
	v := b.look()
	if !slices.Equal(v.topics, []string{"t"}) || len(v.keys) != 0 || v.nextDue != h.until {
		t.Errorf("held back: %v, %q until %v", v.topics, v.keys, v.nextDue)
	}
	b.now = h.until
	if v = b.look(); len(v.topics) != 0 {
		t.Errorf("still held back: %v", v.topics)
	}
	if h = b.refused(b.read("a")[0], errors.New("no"), true, b.now); h.attempts != 2 {
		t.Errorf("after the pause: %+v, want a second attempt", h)
	}
	b.acknowledged(send[2], b.now)
	if n := b.deferredCount(); n != 0 {
		t.Errorf("%d held back after the topic took a record", n)
	}
}

// An operator has removed the record, so no further refusal renews its deferral.
func TestFlightForgetsAHold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	send := b.read("a", "b")
	b.refused(send[0], errors.New("no"), false, b.now)
	h := b.refused(send[1], errors.New("no"), true, b.now)
	b.now = h.until.Add(2 * maxPause)
	if b.look(); b.deferredCount() != 2 {
		t.Errorf("%d held back, want 2: they may be on their way again", b.deferredCount())
	}
	b.now = b.now.Add(1)
	if b.look(); b.deferredCount() != 0 {
		t.Errorf("%d held back, want none", b.deferredCount())
	}
}

func TestFlightLeavesOutTheTopicWithTheMostHeldKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	send := b.read("a", "b", "c", "d")
	for i, r := range send {
		if i > 0 {
			r.orderKey.topic = "many"
		}
		b.refused(r, errors.New("no"), false, b.now)
	}
	v := b.view(b.now, 3)
	if !slices.Equal(v.topics, []string{"many"}) || len(v.keys) != 1 || v.keyTopics[0] != "t" || string(v.keys[0]) != "a" {
		t.Errorf("left out: %v, and %q of %v", v.topics, v.keys, v.keyTopics)
	}
	if v = b.view(b.now, 4); len(v.topics) != 0 || len(v.keys) != 4 {
		t.Errorf("left out: %v, and %q", v.topics, v.keys)
	}
}

// A frozen process does not know that its lease has expired, but its clock shows it.
func TestFlightSendsNothingMoreAfterItsLease(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	send := b.read("a", "a", "a", "b")
	b.drainSignals()
	b.now = b.now.Add(time.Hour)
	if next := b.acknowledged(send[1], b.now); next != nil {
		t.Errorf("after b: %v", next)
	}
	if !b.leads(0, b.now) || b.leads(0, b.now.Add(1)) {
		t.Error("the lease does not end when it ends")
	}
	b.now = b.now.Add(1)
	if next := b.acknowledged(send[0], b.now); next != nil {
		t.Errorf("sends %s%d although another relay leads", next.orderKey.key, next.seq)
	}
	b.expect(2, 0, 2, 0) // the rows that wait for their mark
	if !signalled(b.reread) {
		t.Error("the read loop is not told that rows were dropped")
	}
	// The relay leads again: it reads the dropped rows from the database.
	b.setLeases([]int16{0}, b.now, b.now.Add(time.Hour))
	if !signalled(b.reread) {
		t.Error("the read loop is not told that there is a shard to read")
	}
	if again := b.read("a", "a"); len(again) != 1 {
		t.Errorf("sends %v", names(again))
	}
}

func TestFlightGivesAShardBackWhenNothingOfItIsInFlight(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(b *bench) []int16{
		"above the share":   func(b *bench) []int16 { return b.setLeases([]int16{1, 2, 3}, b.now, b.now.Add(time.Hour)) },
		"held by operators": func(b *bench) []int16 { return b.releaseShards([]int16{0}, b.now) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			a := b.read("a", "a")[0]
			if idle := lose(b); slices.Contains(idle, 0) {
				t.Errorf("gives back %v with a record at the producer", idle)
			}
			b.expect(1, 1, 0, 10) // the rows behind it are dropped
			if b.leads(0, b.now) || slices.Contains(b.look().shards, 0) {
				t.Error("reads on")
			}
			if next := b.acknowledged(a, b.now); next != nil {
				t.Errorf("sends %+v of a shard that it lost", next)
			}
			if idle := lose(b); slices.Contains(idle, 0) {
				t.Errorf("gives back %v with a row unmarked", idle)
			}
			b.marked(b.takeAcked(1))
			if idle := lose(b); !slices.Contains(idle, 0) {
				t.Errorf("gives back %v, want shard 0 as well", idle)
			}
		})
	}
}

func TestFlightAbandonsWhatIsNotAtTheProducer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rows := b.rows("a", "a", "a", "b", "b")
	rows[3].shard, rows[4].shard = 1, 1
	if _, ok := b.admit(rows, b.look().generation, b.now); !ok {
		t.Fatal("refused")
	}
	b.abandon(func(shard int16) bool { return shard == 0 })
	b.expect(3, 2, 0, 30)
	if next := b.acknowledged(rows[0], b.now); next != nil {
		t.Errorf("sends %+v", next)
	}
	if next := b.acknowledged(rows[3], b.now); next != rows[4] {
		t.Errorf("of the other shard it sends %+v", next)
	}
}
