package outbox

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// There are two producers: one of the many records that share batches, and one of those which
// must not: larger ones, which the first refuses by itself, and those that the broker found too
// large in the batch they were in. The second has one record of a partition at a time, see lone.
const (
	// companyBytes bounds a batch of records. A broker measures batches, and refuses all of
	// one that is larger than the topic's max.message.bytes; an operator may have lowered
	// that. Below this limit no batch is refused for the company a record is in.
	companyBytes = 64 << 10
	// aloneBytes bounds a record. It is the default of Kafka's brokers, see MaxRaw.
	aloneBytes = 1_048_588
)

// partition is where records share batches.
type partition struct {
	topic string
	id    int32
}

// lone holds the records that are sent alone. Of each partition the first is at the producer,
// so that no two are in one batch; a partition that takes none holds up its own only.
type lone struct {
	mu     sync.Mutex
	queues map[partition][]*record
}

// add takes a record and tells whether it is to be sent now.
func (l *lone) add(rec *record) (now bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := partition{rec.kafka.Topic, rec.kafka.Partition}
	rec.partition = p // the producer that sends it again writes to the other
	l.queues[p] = append(l.queues[p], rec)
	return len(l.queues[p]) == 1
}

// done forgets a record that was sent, and returns the next of its partition.
func (l *lone) done(rec *record) (next *record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.queues[rec.partition][1:]
	if len(queue) == 0 {
		delete(l.queues, rec.partition)
		return nil
	}
	l.queues[rec.partition] = queue
	return queue[0]
}

// clear forgets the records that are not at the producer, and returns them.
func (l *lone) clear() (waiting []*record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, queue := range l.queues {
		waiting = append(waiting, queue[1:]...)
		l.queues[p] = queue[:1:1]
	}
	return waiting
}

// sendAgainAlone sends a record that was too large for the batch it was in, and tells
// whether it does: one that was alone is too large by itself.
func (r *Relay) sendAgainAlone(rec *record, err error) bool {
	if rec.alone || !errors.Is(err, kerr.MessageTooLarge) && !errors.Is(err, kerr.RecordListTooLarge) {
		return false
	}
	rec.alone = true
	if r.lone.add(rec) {
		r.sendAlone(rec)
	}
	return true
}

// sendAlone is send for these. A record whose turn comes when its shard is led no longer
// stays unpublished.
func (r *Relay) sendAlone(rec *record) {
	r.alone.get().Produce(context.Background(), rec.kafka, func(_ *kgo.Record, err error) {
		r.at(afterReplied)
		next := r.lone.done(rec)
		r.sent(rec, err)
		for next != nil && !r.flight.leads(next.shard, r.clock()) {
			given := next
			next = r.lone.done(given)
			r.sent(given, kgo.ErrAborting)
		}
		if next != nil {
			r.sendAlone(next)
		}
	})
}

// abort takes from the producers what they have, and what waits for them.
func (r *Relay) abort() {
	r.company.get().UnsafeAbortBufferedRecords()
	for _, rec := range r.lone.clear() {
		r.sent(rec, kgo.ErrAborting)
	}
	r.alone.get().UnsafeAbortBufferedRecords()
}
