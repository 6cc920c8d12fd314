package consumer

import (
	"cmp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type topicPartition struct {
	topic     string
	partition int32
}

// queue holds the records of one partition that were fetched and not yet
// committed to the database, in offset order. While its head has to wait, due lies in
// the future, the partition's fetching is paused, and nothing behind the head is
// tried.
type queue struct {
	topicPartition
	items    []*item
	waiting  bool      // for something that is down, until due
	attempts int       // how often in a row the head was tried and had to wait; refusals of a breaker are no tries
	due      time.Time // not before; zero means now
	trouble  error     // of ours, that it waits for: a reason not to be ready

	news <-chan struct{} // closed when the registry has news for the head that waits for it; nil when none does
	said string          // the latest reason to wait for the registry that was logged
}

// backlog is all queues of the partitions this process owns. Only the loop's
// goroutine touches it.
type backlog struct {
	queues map[topicPartition]*queue
	turn   int // which partition goes first, moved on so that none starves
}

func newBacklog() *backlog { return &backlog{queues: map[topicPartition]*queue{}} }

// add appends a fetched record. A record at or below the last queued offset has
// been fetched again (a pause or a rebalance rewound the fetch) and is dropped.
func (b *backlog) add(r *kgo.Record) {
	tp := topicPartition{r.Topic, r.Partition}
	q := b.queues[tp]
	if q == nil {
		q = &queue{topicPartition: tp}
		b.queues[tp] = q
	}
	if n := len(q.items); n > 0 && r.Offset <= q.items[n-1].record.Offset {
		return
	}
	q.items = append(q.items, &item{record: r})
}

// size is the number of records held.
func (b *backlog) size() int {
	n := 0
	for _, q := range b.queues {
		n += len(q.items)
	}
	return n
}

// next returns the earliest instant at which some queue has work, and false when
// all are empty.
func (b *backlog) next() (time.Time, bool) {
	var at time.Time
	found := false
	for _, q := range b.queues {
		if len(q.items) == 0 {
			continue
		}
		if !found || q.due.Before(at) {
			at, found = q.due, true
		}
	}
	return at, found
}

// due returns the queues with work at the given instant, in an order that is
// stable but starts one further each time.
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

// share is the part of one queue that takes part in a batch: its first n items.
type share struct {
	q   *queue
	n   int
	cut bool // what is behind the n waits for something that is down
}

func (s share) items() []*item { return s.q.items[:s.n] }

// take cuts a batch of at most limit items from the due queues. A key for which
// a call is to be made appears once only: the queue is cut before its second
// record, because that record's call has to see what the first one committed.
func take(due []*queue, limit int) []share {
	var shares []share
	called := map[string]bool{} // keys of the batch with a call among their records
	plain := map[string]bool{}  // keys of the batch without
	for _, q := range due {
		n := 0
		for _, it := range q.items {
			if limit == 0 || it.kind == undecoded {
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
			shares = append(shares, share{q: q, n: n})
		}
	}
	return shares
}
