package outbox

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"eventshop.example/pkg/kafkatest"
)

// What the package promises of the requests themselves: all replicas acknowledge, the broker
// can tell a repetition, and nothing is waited for before a request.
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
				if len(p.Records) > companyBytes {
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
	tx := f.begin(t)
	f.raws(t, tx, 300, keys(1000, 1000)...)
	f.raws(t, tx, 2*companyBytes, keys(10, 10)...)
	commit(t, tx)
	f.awaitPublished(t)
	mu.Lock()
	defer mu.Unlock()
	if requests == 0 || large != 10 {
		t.Errorf("%d requests, %d batches of one large record, want 10", requests, large)
	}
	for _, p := range r.producers() {
		if linger := p.get().OptValue(kgo.ProducerLinger); linger != time.Duration(0) {
			t.Errorf("linger %v", linger)
		}
	}
}

// A stop waits for what is at the producer.
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
	f.append(t, keys(60, 12)...)
	kafkatest.Eventually(t, "records at the producer", func() bool { _, sent, _, _ := r.flight.counts(); return sent == 12 })
	r.cancel()
	kafkatest.Eventually(t, "what waits behind them to be dropped", func() bool { rows, _, _, _ := r.flight.counts(); return rows == 12 })
	close(let)
	r.stop(t)
	if s := f.stats(t); s.Published != 12 || len(f.holders(t)) != 0 {
		t.Errorf("%d rows are marked, want the 12 that the broker took; leases %v", s.Published, f.holders(t))
	}
}

// A broker that stays silent is not waited for longer than DrainTimeout.
func TestStopGivesASilentBrokerUp(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.StartCluster(t, testTopic)
	silent(t, cluster)
	f := newFixture(t, cluster.ListenAddrs())
	r := f.start(t, quick)
	f.append(t, keys(60, 12)...)
	kafkatest.Eventually(t, "records at the producer", func() bool { _, sent, _, _ := r.flight.counts(); return sent == 12 })
	r.stop(t)
	if s := f.stats(t); s.Unpublished != 60 || len(f.holders(t)) != 0 {
		t.Errorf("%d unpublished, want 60; leases %v", s.Unpublished, f.holders(t))
	}
}

// Records that are sent alone wait for each other; those whose turn comes after the lease
// are not sent.
func TestWhatWaitsToBeSentAloneEndsWithTheLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kafkatest.Start(t, testTopic))
	z, freeze := freezable(afterReplied)
	frozen := f.start(t, RelayConfig{Lease: time.Hour, PollEvery: time.Millisecond}, freeze, func(r *Relay) {
		at := r.at
		r.at = func(p point) {
			if r.lone.waiting() >= 5 {
				z.armed.Store(true)
			}
			at(p)
		}
	})
	tx := f.begin(t)
	const large = 30
	f.raws(t, tx, 2*companyBytes, keys(large, large)...)
	commit(t, tx)
	<-z.frozen
	f.expire(t)
	f.start(t, RelayConfig{Lease: time.Hour, PollEvery: time.Millisecond})
	f.awaitPublished(t)
	before := len(kafkatest.ReadAll(t, f.brokers, testTopic.Name))
	z.release()
	kafkatest.Eventually(t, "the thawed relay to have nothing at the producer", func() bool { _, sent, _, _ := frozen.flight.counts(); return sent == 0 })
	// Of each partition one record may have been on its way.
	if after := len(kafkatest.ReadAll(t, f.brokers, testTopic.Name)); after > before+int(testTopic.Partitions) {
		t.Errorf("%d records, and %d before the thaw", after, before)
	}
}

// waiting returns how many records wait for others of their partition.
func (l *lone) waiting() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, queue := range l.queues {
		n += len(queue) - 1
	}
	return n
}
