package relay

import (
	"slices"
	"sync"
	"time"
)

// orderKey identifies records whose order matters: those of one key of one topic. A record without
// a key has an order key of its own.
type orderKey struct {
	topic, key string
	row        int64 // sequence number of a record without a key, else 0
}

// flight contains the rows that this relay has read and not yet marked.
//
// All guarantees of order depend on one invariant: of each order key at most one record is at the
// producer, and the next record follows only after the acknowledgement of that one. Therefore no
// relay, leader or not, frozen or not, ever sends a record before all earlier records of its order
// key have been acknowledged to some relay: they were either acknowledged to this relay, or no
// longer unpublished when it read. First occurrences keep their order without depending on clocks,
// leases, or what a producer does with the batches behind one that failed. The lease only keeps
// duplicates rare.
type flight struct {
	mu     sync.Mutex
	rows   map[int64]*record // by seq: all in memory, and so excluded from reads
	queues map[orderKey][]*record
	acked  []*record // wait for their mark
	bytes  int       // of the rows not yet acknowledged
	sent   int       // rows at the producer

	// generation changes whenever rows are dropped from memory without being published. A read that
	// began before such a change may contain later rows of a dropped row's order key, so the relay
	// discards the whole read.
	generation uint64

	deferrals deferrals // of the records that the broker refused
	bound     bound     // where reads begin
	leadership
	signals
}

// leadership is which shards this relay leads.
type leadership struct {
	leased   map[int16]time.Time // the shards that this relay leads, and until when at least
	draining map[int16]bool      // formerly led, with rows still in flight
}

// signals wake the loops. Each has room for one signal, and a signal that is pending already
// covers a later one.
type signals struct {
	toMark chan struct{} // something to mark
	room   chan struct{} // room in memory
	reread chan struct{} // rows were dropped, or shards won: read without waiting for the poll
}

func newFlight() *flight {
	return &flight{
		rows:       map[int64]*record{},
		queues:     map[orderKey][]*record{},
		deferrals:  newDeferrals(),
		leadership: leadership{leased: map[int16]time.Time{}, draining: map[int16]bool{}},
		signals:    signals{toMark: make(chan struct{}, 1), room: make(chan struct{}, 1), reread: make(chan struct{}, 1)},
	}
}

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// admit takes the rows that a read returned, and returns the records to send now. It refuses all
// rows when the read is older than the last drop. It also refuses them when the lease of one of
// their shards has expired meanwhile: the process was frozen, and another one leads.
func (f *flight) admit(rows []*record, generation uint64, now time.Time) (send []*record, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if generation != f.generation {
		return nil, false
	}
	if slices.ContainsFunc(rows, func(r *record) bool { return now.After(f.leased[r.shard]) }) {
		return nil, false
	}
	for _, r := range rows {
		f.rows[r.seq] = r
		f.bytes += r.size
		f.queues[r.orderKey] = append(f.queues[r.orderKey], r)
		if len(f.queues[r.orderKey]) == 1 {
			r.sentAt = now
			f.sent++
			send = append(send, r)
		}
	}
	return send, true
}

// acknowledged records that the broker has r. It returns the next record of its order key to send,
// if there is one and this relay still leads its shard.
func (f *flight) acknowledged(r *record, now time.Time) (next *record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent--
	f.bytes -= r.size
	r.kafka = nil // the payload is not needed any more
	f.acked = append(f.acked, r)
	notify(f.toMark)
	if f.deferrals.accepted(r.orderKey, now) {
		notify(f.reread) // the read loop computes again when the next deferral ends
	}
	queue := f.queues[r.orderKey][1:]
	if len(queue) == 0 {
		delete(f.queues, r.orderKey)
		return nil
	}
	f.queues[r.orderKey] = queue
	if now.After(f.leased[r.shard]) {
		// This process was frozen, or cut off from the database: another relay leads by now.
		f.drop(r.orderKey, 0)
		return nil
	}
	queue[0].sentAt = now
	f.sent++
	return queue[0]
}

// refused records that the broker refused r, and drops all records of its order key from memory.
// The order key (or the topic, when the topic is the cause) is deferred until a pause has passed.
// Then the relay reads from the database what comes next.
func (f *flight) refused(r *record, err error, topicWide bool, now time.Time) deferral {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent--
	f.drop(r.orderKey, 0)
	return f.deferrals.refused(r.orderKey, err, topicWide, now)
}

// drop removes the records of an order key from memory, except the first keep ones.
func (f *flight) drop(key orderKey, keep int) {
	queue := f.queues[key]
	for _, r := range queue[keep:] {
		delete(f.rows, r.seq)
		f.bytes -= r.size
	}
	if keep == 0 {
		delete(f.queues, key)
	} else {
		f.queues[key] = queue[:keep:keep]
	}
	f.generation++
	notify(f.room)
	notify(f.reread)
}

// abandon drops the records of the shards that are not at the producer yet.
func (f *flight) abandon(which func(shard int16) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, queue := range f.queues {
		if len(queue) > 1 && which(queue[0].shard) {
			f.drop(key, 1)
		}
	}
	f.generation++ // a read in progress may contain rows of these shards
}

// setLeases records which shards this relay leads and until when. It drops waiting rows of shards
// that the relay does not lead any more; those at the producer finish. idle are the former shards
// with nothing in flight, neither unacknowledged nor unmarked: the next leader can start on them
// without sending anything twice.
func (f *flight) setLeases(shards []int16, now, until time.Time) (idle []int16) {
	f.mu.Lock()
	won := false
	lost := map[int16]bool{}
	for shard := range f.leased {
		lost[shard] = true
	}
	for _, shard := range shards {
		won = won || now.After(f.leased[shard]) // new, or had run out, and reads found nothing
		delete(lost, shard)
		delete(f.draining, shard)
		f.leased[shard] = until
	}
	for shard := range lost {
		delete(f.leased, shard)
		f.draining[shard] = true
	}
	f.mu.Unlock()
	if len(lost) > 0 {
		f.abandon(func(shard int16) bool { return lost[shard] })
	}
	if won {
		notify(f.room)
		notify(f.reread)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	busy := map[int16]bool{}
	for _, r := range f.rows {
		busy[r.shard] = true
	}
	for shard := range f.draining {
		if !busy[shard] {
			delete(f.draining, shard)
			idle = append(idle, shard)
		}
	}
	return idle
}

// releaseShards releases this relay's shards during a pause. shards are those that the database
// still lists as leased to this relay. It returns the idle ones, which can be handed back.
func (f *flight) releaseShards(shards []int16, now time.Time) (idle []int16) {
	f.mu.Lock()
	for _, shard := range shards {
		f.draining[shard] = true
	}
	f.mu.Unlock()
	return f.setLeases(nil, now, now)
}

// leads reports whether this relay may send more of a shard.
func (f *flight) leads(shard int16, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !now.After(f.leased[shard])
}

// takeAcked returns up to n records to mark.
func (f *flight) takeAcked(n int) []*record {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = min(n, len(f.acked))
	batch := slices.Clone(f.acked[:n])
	f.acked = slices.Delete(f.acked, 0, n)
	return batch
}

// unmarked returns records to those that wait for their mark, because the mark failed.
func (f *flight) unmarked(batch []*record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acked = append(f.acked, batch...)
}

// marked removes records that the database has marked as published. From now on the mark excludes
// them from reads.
func (f *flight) marked(batch []*record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range batch {
		delete(f.rows, r.seq)
	}
	notify(f.room)
}

// counts returns the number of rows in memory, of rows at the producer, and of rows that wait for
// their mark, and the oldest record at the producer.
func (f *flight) counts() (rows, sent, acked int, oldest *record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, queue := range f.queues {
		if r := queue[0]; oldest == nil || r.sentAt.Before(oldest.sentAt) {
			oldest = r
		}
	}
	return len(f.rows), f.sent, len(f.acked), oldest
}
