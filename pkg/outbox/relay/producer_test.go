package relay

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox/outboxtest"
)

// The package's guarantees about the requests: all replicas acknowledge, the broker can recognise a
// repetition, and the client does not wait before a request.
func TestProduceRequests(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, cluster.ListenAddrs())
	var mu sync.Mutex
	requests, large := 0, 0
	cluster.ControlKey(produceKey, func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		req := kreq.(*kmsg.ProduceRequest)
		requests++
		if req.Acks != -1 {
			t.Errorf("acks=%d, want all", req.Acks)
		}
		for _, topic := range req.Topics {
			for _, p := range topic.Partitions {
				var batch kmsg.RecordBatch
				if err := batch.ReadFrom(p.Records); err != nil {
					t.Error(err)
				}
				if batch.ProducerID < 0 || batch.FirstSequence < 0 {
					t.Errorf("a batch without a producer id: %d, %d", batch.ProducerID, batch.FirstSequence)
				}
				if len(p.Records) > batchBytes {
					large++
					if batch.NumRecords != 1 {
						t.Errorf("%d records in a batch of %d bytes", batch.NumRecords, len(p.Records))
					}
				}
			}
		}
		return nil, nil, false
	})
	noCompression := quick
	noCompression.KgoOpts = []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())}
	r := f.start(t, noCompression)
	tx := f.Begin(t)
	f.Raws(t, tx, 300, outboxtest.Keys(1000, 1000)...)
	f.Raws(t, tx, 2*batchBytes, outboxtest.Keys(10, 10)...)
	outboxtest.Commit(t, tx)
	f.awaitPublished(t)
	mu.Lock()
	defer mu.Unlock()
	if requests == 0 || large != 10 {
		t.Errorf("%d requests, %d batches of one large record, want 10", requests, large)
	}
	for _, p := range r.producers.all() {
		if linger := p.get().OptValue(kgo.ProducerLinger); linger != time.Duration(0) {
			t.Errorf("linger %v", linger)
		}
	}
}

// A stop waits for the records at the producer.
func TestStopWaitsForTheBroker(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	f := newFixture(t, cluster.ListenAddrs())
	let := make(chan struct{})
	cluster.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		cluster.SleepControl(func() { <-let })
		return nil, nil, false
	})
	patient := quick
	patient.DrainTimeout = time.Minute
	r := f.start(t, patient)
	f.Append(t, outboxtest.Keys(60, 12)...)
	kafkatest.Eventually(t, "records at the producer", func() bool { _, sent, _, _ := r.flight.counts(); return sent == 12 })
	r.cancel()
	kafkatest.Eventually(t, "what waits behind them to be dropped", func() bool { rows, _, _, _ := r.flight.counts(); return rows == 12 })
	close(let)
	r.stop(t)
	if s := f.stats(t); s.Published != 12 || len(f.Holders(t)) != 0 {
		t.Errorf("%d rows are marked, want the 12 that the broker took; leases %v", s.Published, f.Holders(t))
	}
}

// A stop does not wait longer than DrainTimeout for a broker that does not answer.
func TestStopGivesASilentBrokerUp(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	silent(t, cluster)
	f := newFixture(t, cluster.ListenAddrs())
	r := f.start(t, quick)
	f.Append(t, outboxtest.Keys(60, 12)...)
	kafkatest.Eventually(t, "records at the producer", func() bool { _, sent, _, _ := r.flight.counts(); return sent == 12 })
	r.stop(t)
	if s := f.stats(t); s.Unpublished != 60 || len(f.Holders(t)) != 0 {
		t.Errorf("%d unpublished, want 60; leases %v", s.Unpublished, f.Holders(t))
	}
}

// Records of the single producer wait for each other. Records whose turn comes after the lease has
// expired are not sent.
func TestWhatWaitsToBeSentAloneEndsWithTheLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	z, freeze := freezable(afterReplied)
	frozen := f.start(t, Config{Lease: time.Hour, PollEvery: time.Millisecond}, freeze, func(r *Relay) {
		at := r.at
		r.at = func(p point) {
			if r.producers.queue.length() >= 5 {
				z.armed.Store(true)
			}
			at(p)
		}
	})
	tx := f.Begin(t)
	const large = 30
	f.Raws(t, tx, 2*batchBytes, outboxtest.Keys(large, large)...)
	outboxtest.Commit(t, tx)
	<-z.frozen
	f.expire(t)
	f.start(t, Config{Lease: time.Hour, PollEvery: time.Millisecond})
	f.awaitPublished(t)
	before := len(kafkatest.ReadAll(t, f.brokers, testTopic.Name))
	z.release()
	kafkatest.Eventually(t, "the thawed relay to have nothing at the producer", func() bool { _, sent, _, _ := frozen.flight.counts(); return sent == 0 })
	// Per partition one record may have been on its way.
	if after := len(kafkatest.ReadAll(t, f.brokers, testTopic.Name)); after > before+int(testTopic.Partitions) {
		t.Errorf("%d records, and %d before the thaw", after, before)
	}
}

// length returns how many records wait for others of their partition.
func (q *singleQueue) length() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, all := range q.waiting {
		n += len(all) - 1
	}
	return n
}
