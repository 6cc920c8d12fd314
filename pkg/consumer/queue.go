package consumer

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

type topicPartition struct {
	topic     string
	partition int32
}

// queue contains the records of one partition that were fetched and not yet committed to the
// database, in offset order. While its head has to wait, due is in the future, the partition's
// fetching is paused, and nothing behind the head is tried.
type queue struct {
	topicPartition
	items    []*item
	waiting  bool      // for something that is down, until due
	attempts int       // how often in a row the head was tried and had to wait; refusals of a circuit breaker do not count
	due      time.Time // not before; zero means now
	headOnly bool      // no call is made ahead of the head's, because one had to wait
	trouble  error     // a fault of this system that the queue waits for: a reason not to be ready

	topicID uuid.UUID // zero if the broker names none
	reached reached   // where the records continue from; see Config.Positions

	news <-chan struct{} // closed when the registry has news for the head that waits for it; nil when the head does not wait
	said string          // the last logged reason to wait for the registry
}

// backlog is the queues of the partitions that this process owns. Only the loop's goroutine uses
// it.
type backlog struct {
	queues map[topicPartition]*queue
	turn   int // which partition goes first; it advances so that no partition starves
}

func newBacklog() *backlog { return &backlog{queues: map[topicPartition]*queue{}} }

// add appends a fetched record of the topic with that id. It drops a record at or below the last
// queued offset, because that record was fetched again (a pause or a rebalance rewound the fetch).
func (b *backlog) add(id uuid.UUID, r *kgo.Record) {
	tp := topicPartition{r.Topic, r.Partition}
	q := b.queues[tp]
	if q == nil {
		q = &queue{topicPartition: tp, reached: nowhere}
		b.queues[tp] = q
	}
	if q.topicID == uuid.Nil { // letGo drops the queues of a topic that was created again
		q.topicID = id
	}
	if n := len(q.items); n > 0 && r.Offset <= q.items[n-1].record.Offset {
		return
	}
	q.items = append(q.items, &item{record: r})
}

// size returns the number of records in the backlog.
func (b *backlog) size() int {
	n := 0
	for _, q := range b.queues {
		n += len(q.items)
	}
	return n
}

// next returns the earliest instant at which a queue has work. It returns false when no queue has
// any. A head that awaits an answer is no work, unless its call can be made.
func (b *backlog) next(canCall bool) (time.Time, bool) {
	var at time.Time
	found := false
	for _, q := range b.queues {
		if len(q.items) == 0 || q.items[0].awaits() && (q.items[0].call == calling || !canCall) {
			continue
		}
		if !found || q.due.Before(at) {
			at, found = q.due, true
		}
	}
	return at, found
}

// due returns the queues with work at the given instant. Their order is stable, but starts one
// queue further each time.
func (b *backlog) due(now time.Time) []*queue {
	var qs []*queue
	for _, q := range b.queues {
		if len(q.items) > 0 && !q.due.After(now) {
			qs = append(qs, q)
		}
	}
	slices.SortFunc(qs, func(x, y *queue) int {
		return cmp.Or(cmp.Compare(x.topic, y.topic), cmp.Compare(x.partition, y.partition))
	})
	if len(qs) > 1 {
		b.turn++
		k := b.turn % len(qs)
		qs = append(qs[k:len(qs):len(qs)], qs[:k]...)
	}
	return qs
}

// portion is the part of one queue that takes part in a batch: its first n items.
type portion struct {
	q   *queue
	n   int
	cut bool // the items behind the first n wait for something that is down
}

func (s portion) items() []*item { return s.q.items[:s.n] }

// take cuts a batch of at most limit items from the due queues, each up to the first that awaits an
// answer. A key with a call appears only once in a batch. The queue is cut before the key's second
// record, because that record's call has to see what the first record committed.
func take(due []*queue, limit int) []portion {
	var portions []portion
	called := map[string]bool{} // keys of the batch with a call
	plain := map[string]bool{}  // keys of the batch without a call
	for _, q := range due {
		n := 0
		for _, it := range q.items {
			if limit == 0 || it.kind == undecoded || it.awaits() {
				break
			}
			key := string(it.record.Key)
			calls := it.kind == subscribed && it.sub.call != nil
			if called[key] || (calls && plain[key]) {
				break
			}
			if calls {
				called[key] = true
			} else {
				plain[key] = true
			}
			n++
			limit--
		}
		if n > 0 {
			portions = append(portions, portion{q: q, n: n})
		}
	}
	return portions
}
