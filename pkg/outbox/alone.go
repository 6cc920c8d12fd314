package outbox

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// companyBytes bounds a batch of records. A broker measures batches, and refuses all of
	// one that is larger than the topic's max.message.bytes; an operator may have lowered
	// that. Below this limit no batch is refused for the company a record is in.
	companyBytes = 64 << 10
	// aloneBytes bounds a record. It is the default of Kafka's brokers, see MaxRaw.
	aloneBytes = 1_048_588
)

// clients returns the producer of the many records that share batches, and that of those
// which must not: larger ones, which the first refuses by itself, and those that the broker
// found too large in the batch they were in. The second has one record at a time.
func (r *Relay) clients() (company, lone *kgo.Client, err error) {
	if company, err = kgo.NewClient(r.options(companyBytes)...); err != nil {
		return nil, nil, err
	}
	if lone, err = kgo.NewClient(r.options(aloneBytes)...); err != nil {
		company.Close()
		return nil, nil, err
	}
	return company, lone, nil
}

// sendAgainAlone hands a record on that was too large for the batch it was in, and tells
// whether it did: one that was alone is too large by itself.
func (r *Relay) sendAgainAlone(rec *record, err error) bool {
	if rec.alone || !errors.Is(err, kerr.MessageTooLarge) {
		return false
	}
	rec.alone = true
	r.alone <- rec // has room for all that flight admits
	return true
}

// abort takes from the producers what they have. What aloneLoop has in hand at this moment
// and not given to its producer yet, the next call takes.
func (r *Relay) abort() {
	r.client.UnsafeAbortBufferedRecords()
	for {
		select {
		case rec := <-r.alone:
			r.sent(rec, kgo.ErrAborting)
		default:
			r.lone.UnsafeAbortBufferedRecords()
			return
		}
	}
}

// aloneLoop sends one record after the other until ctx is done.
func (r *Relay) aloneLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case rec := <-r.alone:
			// Not by ctx, see send.
			r.sent(rec, r.lone.ProduceSync(context.Background(), rec.kafka).FirstErr())
		}
	}
}
