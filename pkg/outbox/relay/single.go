package relay

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// partition identifies a partition of a topic. Records of one partition share batches.
type partition struct {
	topic string
	id    int32
}

// singleQueue contains the records of the single producer, by partition. The first record of each
// partition is at the producer, so that no two are in one batch. A partition that accepts no
// records delays only its own.
type singleQueue struct {
	mu      sync.Mutex
	waiting map[partition][]*record
}

// add queues a record and returns whether to send it now.
func (q *singleQueue) add(rec *record) (now bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := partition{rec.kafka.Topic, rec.kafka.Partition}
	rec.partition = p // the producer that sends the record again overwrites the record's own field
	q.waiting[p] = append(q.waiting[p], rec)
	return len(q.waiting[p]) == 1
}

// done removes a record that was sent, and returns the next of its partition.
func (q *singleQueue) done(rec *record) (next *record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	rest := q.waiting[rec.partition][1:]
	if len(rest) == 0 {
		delete(q.waiting, rec.partition)
		return nil
	}
	q.waiting[rec.partition] = rest
	return rest[0]
}

// clear removes the records that are not at the producer, and returns them.
func (q *singleQueue) clear() (removed []*record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for p, all := range q.waiting {
		removed = append(removed, all[1:]...)
		q.waiting[p] = all[:1:1]
	}
	return removed
}

// resendSingle sends a record again, in a batch of its own, when its batch was too large. It
// returns false when it does not resend. A record that had a batch of its own is itself too large.
func (r *Relay) resendSingle(rec *record, err error) bool {
	if rec.single || !errors.Is(err, kerr.MessageTooLarge) && !errors.Is(err, kerr.RecordListTooLarge) {
		return false
	}
	rec.single = true
	if r.producers.queue.add(rec) {
		r.sendSingle(rec)
	}
	return true
}

// sendSingle produces one record per batch. If this relay no longer leads a shard when a waiting
// record's turn comes, the record stays unpublished.
func (r *Relay) sendSingle(rec *record) {
	r.producers.single.get().Produce(context.Background(), rec.kafka, func(_ *kgo.Record, err error) {
		r.at(afterReplied)
		next := r.producers.queue.done(rec)
		r.sent(rec, err)
		for next != nil && !r.flight.leads(next.shard, r.clock()) {
			unsent := next
			next = r.producers.queue.done(unsent)
			r.sent(unsent, kgo.ErrAborting)
		}
		if next != nil {
			r.sendSingle(next)
		}
	})
}

// abort removes the records that are at the producers and those that wait for them.
func (r *Relay) abort() {
	r.producers.batched.get().UnsafeAbortBufferedRecords()
	for _, rec := range r.producers.queue.clear() {
		r.sent(rec, kgo.ErrAborting)
	}
	r.producers.single.get().UnsafeAbortBufferedRecords()
}

// aborted reports whether err belongs to a record that the relay took from the producer, and not to
// one that the broker refused.
func aborted(err error) bool {
	return errors.Is(err, kgo.ErrClientClosed) || errors.Is(err, kgo.ErrAborting)
}
