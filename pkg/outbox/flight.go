package outbox

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

// laneKey names a sequence of records whose order matters: one key of one
// topic. A record without a key is a sequence of its own.
type laneKey struct {
	topic, key string
	row        int64 // sequence number of a record without a key, else 0
}

// record is one outbox row in memory, from the read to the mark.
type record struct {
	seq     int64
	id      uuid.UUID
	shard   int16
	lane    laneKey
	size    int
	created time.Time
	kafka   *kgo.Record
	// publication of the row when it was read: the mark is for no later one.
	publication int32
	sentAt      time.Time // zero while it waits behind an earlier record of its lane
	alone       bool      // it must not share a batch
	partition   partition // where it waits to be sent alone
	broken      error     // why the row is no record; it is not sent
}

// flight holds the rows that this relay has read and not yet marked.
//
// The invariant that everything rests on: of each lane at most one record is at
// the producer, and the next one follows only after the acknowledgement of that
// one. A record is therefore never sent by any relay, leader or not, frozen or
// not, before all earlier records of its lane have been acknowledged to somebody:
// they were either acknowledged to this relay, or no longer unpublished when it
// read. First occurrences keep their order without trust in clocks, leases, or
// what a producer does with the batches behind one that failed. The lease only
// keeps duplicates rare.
type flight struct {
	mu    sync.Mutex
	rows  map[int64]*record // by seq: all in memory, and so excluded from reads
	lanes map[laneKey][]*record
	acked []*record // wait for their mark
	bytes int       // of the rows not yet acknowledged
	sent  int       // rows at the producer

	// generation changes whenever rows are dropped from memory without being
	// published. A read that began before such a change may hold later rows of
	// a dropped one's lane and is thrown away as a whole.
	generation uint64

	heldLanes  map[laneKey]hold
	heldTopics map[string]hold
	taken      map[string]time.Time // by topic: the last acknowledgement
	lately     map[string]int       // by topic: the lanes first refused since then
	pause      func(attempts int) time.Duration

	refusesAllAfter time.Duration

	leased  map[int16]time.Time // the shards led, and until when at least
	parting map[int16]bool      // formerly led, with rows still in flight

	ackSignal chan struct{} // something to mark
	progress  chan struct{} // room in memory
	reread    chan struct{} // rows were dropped, or shards won: read without waiting for the poll
}

func newFlight() *flight {
	return &flight{
		rows:       map[int64]*record{},
		lanes:      map[laneKey][]*record{},
		heldLanes:  map[laneKey]hold{},
		heldTopics: map[string]hold{},
		taken:      map[string]time.Time{},
		lately:     map[string]int{},
		pause:      pause,

		refusesAllAfter: refusesAllAfter,

		leased:    map[int16]time.Time{},
		parting:   map[int16]bool{},
		ackSignal: make(chan struct{}, 1),
		progress:  make(chan struct{}, 1),
		reread:    make(chan struct{}, 1),
	}
}

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// admit takes what a read returned and gives back the records to send now. It
// refuses all of them when the read is older than the last drop, and when it is of a
// shard whose lease has run out meanwhile: the process was frozen, and another one leads.
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
		f.lanes[r.lane] = append(f.lanes[r.lane], r)
		if len(f.lanes[r.lane]) == 1 {
			r.sentAt = now
			f.sent++
			send = append(send, r)
		}
	}
	return send, true
}

// acknowledged notes that the broker has r, and returns the next record of its
// lane to send, if there is one and its shard is still led.
func (f *flight) acknowledged(r *record, now time.Time) (next *record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent--
	f.bytes -= r.size
	r.kafka = nil // the payload is not needed any more
	f.acked = append(f.acked, r)
	notify(f.ackSignal)
	f.tookOne(r.lane, now)
	queue := f.lanes[r.lane][1:]
	if len(queue) == 0 {
		delete(f.lanes, r.lane)
		return nil
	}
	f.lanes[r.lane] = queue
	if now.After(f.leased[r.shard]) {
		// Frozen, or cut off from the database: somebody else leads by now.
		f.drop(r.lane, 0)
		return nil
	}
	queue[0].sentAt = now
	f.sent++
	return queue[0]
}

// drop forgets the records of a lane but the first keep ones.
func (f *flight) drop(lane laneKey, keep int) {
	queue := f.lanes[lane]
	for _, r := range queue[keep:] {
		delete(f.rows, r.seq)
		f.bytes -= r.size
	}
	if keep == 0 {
		delete(f.lanes, lane)
	} else {
		f.lanes[lane] = queue[:keep:keep]
	}
	f.generation++
	notify(f.progress)
	notify(f.reread)
}

// abandon forgets the records of the shards that are not at the producer yet.
func (f *flight) abandon(which func(shard int16) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for lane, queue := range f.lanes {
		if len(queue) > 1 && which(queue[0].shard) {
			f.drop(lane, 1)
		}
	}
	f.generation++ // a read on its way back may hold rows of these shards
}

// lead notes which shards this relay leads and until when. Rows of shards that
// it does not lead any more are forgotten; those at the producer finish. surplus
// are the former shards that nothing is in flight of, neither unacknowledged nor
// unmarked: the next leader can start on them without sending anything twice.
func (f *flight) lead(shards []int16, now, until time.Time) (surplus []int16) {
	f.mu.Lock()
	won := false
	lost := map[int16]bool{}
	for shard := range f.leased {
		lost[shard] = true
	}
	for _, shard := range shards {
		won = won || now.After(f.leased[shard]) // new, or had run out, and reads found nothing
		delete(lost, shard)
		delete(f.parting, shard)
		f.leased[shard] = until
	}
	for shard := range lost {
		delete(f.leased, shard)
		f.parting[shard] = true
	}
	f.mu.Unlock()
	if len(lost) > 0 {
		f.abandon(func(shard int16) bool { return lost[shard] })
	}
	if won {
		notify(f.progress)
		notify(f.reread)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	busy := map[int16]bool{}
	for _, r := range f.rows {
		busy[r.shard] = true
	}
	for shard := range f.parting {
		if !busy[shard] {
			delete(f.parting, shard)
			surplus = append(surplus, shard)
		}
	}
	return surplus
}

// part is lead while nobody may lead: shards are those whose leases the database still has
// as ours, and the idle ones of them may be handed back.
func (f *flight) part(shards []int16, now time.Time) (idle []int16) {
	f.mu.Lock()
	for _, shard := range shards {
		f.parting[shard] = true
	}
	f.mu.Unlock()
	return f.lead(nil, now, now)
}

// leads tells whether this relay may send more of a shard.
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

// unmarked gives records back whose mark failed.
func (f *flight) unmarked(batch []*record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acked = append(f.acked, batch...)
}

// marked forgets records that the database knows as published. Only now may a
// read find them, which it will not.
func (f *flight) marked(batch []*record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range batch {
		delete(f.rows, r.seq)
	}
	notify(f.progress)
}

// counts returns the number of rows in memory, of those at the producer, of
// those that wait for their mark, and when the oldest at the producer was sent.
func (f *flight) counts() (rows, sent, acked int, oldest *record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, queue := range f.lanes {
		if r := queue[0]; oldest == nil || r.sentAt.Before(oldest.sentAt) {
			oldest = r
		}
	}
	return len(f.rows), f.sent, len(f.acked), oldest
}
