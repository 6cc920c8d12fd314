package relay

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/outbox"
)

const (
	// batchBytes bounds a batch of records. A broker measures batches, and refuses a whole batch
	// that is larger than the topic's max.message.bytes, which an operator may have lowered. Below
	// this limit no batch is refused because of the other records in it.
	batchBytes = 64 << 10
	// singleBytes bounds a record. It is the default of Kafka's brokers, see outbox.MaxRaw.
	singleBytes = 1_048_588
)

// producers are the two Kafka clients: one for the many records that share batches, and one for
// those that must not. The second one sends larger records, which the first client refuses by
// itself, and records whose batch was too large for the broker.
type producers struct {
	cfg       Config
	batched   producer
	single    producer
	queue     singleQueue     // the records that wait for single
	recreated recreatedTopics // topics that the clients do not find any more
	log       clientLog
	// recheck is set by refusals: a client may refuse every record by itself, see replaceRefused.
	recheck atomic.Bool
}

func newProducers(cfg Config) *producers {
	return &producers{
		cfg:       cfg,
		batched:   producer{maxBatch: batchBytes},
		single:    producer{maxBatch: singleBytes},
		queue:     singleQueue{waiting: map[partition][]*record{}},
		recreated: recreatedTopics{read: map[string]bool{}, topics: map[string]bool{}},
	}
}

func (p *producers) all() []*producer { return []*producer{&p.batched, &p.single} }

// producer is a Kafka client that can be replaced. When the broker has refused a client's producer
// id once, the client keeps that answer: it refuses every record by itself from then on, even if
// the broker would accept it.
type producer struct {
	maxBatch int32 // bytes of a batch
	client   atomic.Pointer[kgo.Client]
}

// get returns nil before Run.
func (p *producer) get() *kgo.Client { return p.client.Load() }

func (p *producer) close() { p.get().Close() }

// open sets a new client and closes the former one. The former client's records fail with
// [kgo.ErrClientClosed]. They stay unpublished and are read again.
func (p *producers) open(one *producer) error {
	client, err := kgo.NewClient(p.options(one.maxBatch)...)
	if err != nil {
		return err
	}
	if former := one.client.Swap(client); former != nil {
		former.Close()
	}
	return nil
}

// reopen replaces a client of a running relay. When that fails, the former one stays.
func (p *producers) reopen(one *producer) {
	if err := p.open(one); err != nil {
		p.cfg.Logger.Error("outbox relay can not make another Kafka client", "error", err)
	}
}

// replaceRefused replaces the clients that refuse every record by themselves. The read loop calls
// it. It checks the clients only after a refusal that may be of that kind.
func (p *producers) replaceRefused() {
	if !p.recheck.Swap(false) {
		return
	}
	for _, one := range p.all() {
		// A client that keeps a refusal does not ask the broker again.
		asking, cancel := context.WithTimeout(context.Background(), askTimeout)
		_, _, err := one.get().ProducerID(asking)
		cancel()
		if refusal := (*kerr.Error)(nil); !errors.As(err, &refusal) || refusal.Retriable {
			continue
		}
		p.cfg.Logger.Warn("broker refused the outbox relay a producer id; it asks for another one", "error", err)
		p.reopen(one)
	}
}

// options returns the options of a client whose batches have at most batchBytes.
func (p *producers) options(batchBytes int32) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(p.cfg.Brokers...),
		kgo.RequiredAcks(kgo.AllISRAcks()), // the default, and a promise of this package; idempotence is on by default
		kgo.ProducerLinger(0),              // the default of 10 ms would delay each event of a chain
		kgo.ProducerBatchMaxBytes(batchBytes),
		// The same hash as the Java client, so that Debezium or another producer puts a key into
		// the same partition.
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		// After a broker returns or a partition moves, the backlog should not wait for the defaults
		// of several seconds.
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(func(fails int) time.Duration { return min(pause(max(0, fails-1)), time.Second) }),
		// This limit is never reached, because flight bounds the rows. A read may return a few more
		// rows than there is room for, and a record counts here until its promise has returned.
		// Produce would block at this limit, even inside a promise, where it would wait for itself.
		kgo.MaxBufferedRecords(p.most()),
		kgo.WithLogger(&p.log),
	}, p.cfg.KgoOpts...)
}

// most returns a number larger than the records that can be at the producers.
func (p *producers) most() int { return 2*p.cfg.MaxInFlight + p.cfg.BatchSize + outbox.Shards }
